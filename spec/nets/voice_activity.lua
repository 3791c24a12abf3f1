-- Is somebody speaking? One step reads 16 samples; two steps are a frame. The front end is
-- a convolution whose kernels are windowed cosines and sines, and stays as it is; its
-- magnitudes go through convolutions and an LSTM to one probability (as silero-vad does).
local saros = require "saros"
local nn = saros.nn

local HOP, FRAME, BINS = 16, 32, 17

local stft = nn.conv1d { HOP, 2 * BINS, kernel = FRAME // HOP, bias = false }

local net = nn.chain {
  stft,
  function(frame)
    local cosines, sines = frame:slice(-1, 1, BINS), frame:slice(-1, BINS + 1, 2 * BINS)
    return saros.sqrt(cosines * cosines + sines * sines + 1e-6)
  end,
  nn.conv1d { BINS, 16, kernel = 3 }, saros.relu,
  nn.conv1d { 16, 16, kernel = 3 }, saros.relu,
  nn.lstm { 16, 16 },
  saros.relu,
  nn.linear { 16, 1 },
  saros.sigmoid,
}
net:init { seed = 1 }

for bin = 0, BINS - 1 do
  for n = 0, FRAME - 1 do
    local hann = 0.5 - 0.5 * math.cos(2 * math.pi * n / FRAME)
    local angle = 2 * math.pi * bin * n / FRAME
    local sample, step = n % HOP + 1, n // HOP + 1
    stft.weight[bin + 1][sample][step] = hann * math.cos(angle)
    stft.weight[BINS + bin + 1][sample][step] = hann * math.sin(angle)
  end
end
stft.weight:trainable(false)

return net
