-- A first script: a character model with its own training loop.
--
--   build/saros examples/first.lua TEXT [EPOCHS]

local saros = require "saros"
local nn, optim, data = saros.nn, saros.optim, saros.data

-- The text as ids of its characters; the last tenth is held out.
local text, message = data.text(arg[1] or "", { unit = "char", valid = 0.1 })
if not text then
  error(message .. "\nusage: build/saros examples/first.lua TEXT [EPOCHS]", 0)
end
local lm = nn.language_model { vocabulary = text.vocabulary, cell = "rnn", hidden = 128, layers = 2, seed = 1 }
local adam = optim.adam(lm:parameters(), { lr = 3e-3 })

for epoch = 1, tonumber(arg[2] or 20) do
  local total, windows, state = 0, 0, nil
  for window in text:windows { batch = 20, length = 50 } do
    local tape <close> = saros.tape()                       -- records what follows
    local logits
    logits, state = lm(window.inputs, state)                -- (T, B, V), and the state to go on from
    local loss = nn.cross_entropy(logits, window.targets)
    tape:backward(loss)                                     -- back-propagation through time
    optim.clip_norm(lm:parameters(), 5)
    adam:step()                                             -- updates, and clears the gradients
    total, windows = total + loss:item(), windows + 1
  end
  print(("epoch %2d  loss %.3f"):format(epoch, total / windows))
end

io.write "We the People "
for piece in lm:generate { prime = "We the People ", length = 160, temperature = 0.5, seed = 1 } do
  io.write(piece)
end
print()
