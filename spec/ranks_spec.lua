-- Many processes that run one script: saros.ranks.
--
-- LUA_CPATH='build/openmpi/?.so;;' MPIRUN=mpirun.openmpi build/saros spec/busted.lua spec/ranks_spec.lua
-- takes another MPI than the one that `make mpi` found; `make mpi-test` takes both.

local commands = require "spec.support.commands"
local files = require "spec.support.files"
local ranks = require "spec.support.ranks"
local saros = require "saros"
local tree = require "saros.ranks.tree"

-- The additions of a plan, as text: (1+2) of shards.
local function additions(shards, size)
  local nodes, order = {}, nil
  for rank = 1, size do
    local plan, stack = tree.plan(shards, rank, size), {}
    for shard = plan.first, plan.last do
      stack[#stack + 1] = tostring(shard)
      for _ = 1, plan.merges[shard] do
        local right = table.remove(stack)
        stack[#stack] = ("(%s+%s)"):format(stack[#stack], right)
      end
    end
    assert.equal(plan.counts[rank], #stack)
    table.move(stack, 1, #stack, #nodes + 1, nodes)
    order = plan.order
  end
  local stack = {}
  for _, number in ipairs(order) do
    local right = number == 0 and table.remove(stack)
    stack[right and #stack or #stack + 1] = right and ("(%s+%s)"):format(stack[#stack], right) or nodes[number]
  end
  assert.equal(1, #stack)
  return stack[1]
end

describe("a tree of additions", function()
  it("is the same for any number of ranks", function()
    assert.equal("(((1+2)+(3+4))+((5+6)+(7+8)))", additions(8, 1))
    for shards = 1, 13 do
      for size = 1, 17 do
        assert.equal(additions(shards, 1), additions(shards, size), shards .. " shards of " .. size .. " ranks")
      end
    end
  end)

  it("deals shards out so that they differ by one at most", function()
    for _, case in ipairs { { 8, 3 }, { 50, 8 }, { 3, 8 } } do
      local count, shares, next_one = case[1], case[2], 1
      for share = 1, shares do
        local first, last = tree.part(count, share, shares)
        assert.equal(next_one, first)
        assert.is_true(last - first + 1 >= count // shares and last - first + 1 <= (count - 1) // shares + 1)
        next_one = last + 1
      end
      assert.equal(count + 1, next_one)
    end
  end)
end)

describe("a process alone", function()
  it("is rank 0 of 1, and needs no MPI", function()
    local output = commands.succeed("-e", [[
      local ranks, x = saros.ranks, saros.tensor { 1, 2 }
      ranks.barrier()
      print(ranks.rank(), ranks.size(), ranks.all_reduce(x)[2], ranks.all_reduce(x, "max")[1], ranks.broadcast(x)[1],
        ranks.gather({ a = 1 })[1].a, ranks.broadcast "text", ranks.total { 0.5, 1 }, package.loaded.saros_mpi)]])
    assert.equal("0\t1\t2.0\t1.0\t1.0\t1\ttext\t1.5\tnil\n", output)
  end)

  it("says what it expects", function()
    local net = saros.nn.linear { 2, 2 }
    for message, call in pairs {
      ["ranks.broadcast: expected a rank in 0..0, got 1"] = function() saros.ranks.broadcast(1, 1) end,
      ["ranks.all_reduce: expected real numbers, got ids (1)"] = function()
        saros.ranks.all_reduce(saros.ids { 1 })
      end,
      ['ranks.all_reduce: expected "sum" or "mean" or "min" or "max" as argument 2, got "most"'] = function()
        saros.ranks.all_reduce(saros.ones(1), "most")
      end,
      ["ranks.sum_gradients: expected the gradients of all shards of this rank, got fewer"] = function()
        saros.ranks.shards(net, 9)()
        saros.ranks.sum_gradients(net)
      end,
      ["ranks.share: expected a net, got 1"] = function() saros.ranks.share(1) end,
      ['ranks.shards: unknown option "blocks"; known: shards'] = function()
        saros.ranks.shards(net, 2, { blocks = 2 })
      end,
    } do
      assert.error_matches(call, message, 1, true)
    end
  end)

  it("takes a batch in shards, each with random numbers of its own, and leaves generators behind the update", function()
    local function drawn(shards)
      local net, list = saros.nn.chain { saros.nn.dropout { p = 0.5 }, saros.nn.linear { 64, 1 } }:init { seed = 3 }, {}
      local seen = {}
      for shard in saros.ranks.shards(net, 4, { shards = shards }) do
        local _ <close> = saros.tape()
        local x = saros.ones(1, 4, 64)
        list[#list + 1] = { shard.first, shard.last, shard.share }
        seen[net.steps[1](shard:of(x)):digest()] = true
      end
      local count = 0
      for _ in pairs(seen) do
        count = count + 1
      end
      local _, generator = next(net:generators())
      return list, count, generator:state()
    end
    local list, different, state = drawn(4)
    assert.same({ { 1, 1, 0.25 }, { 2, 2, 0.25 }, { 3, 3, 0.25 }, { 4, 4, 0.25 } }, list)
    assert.equal(4, different)
    list, different = drawn(9)
    assert.equal(4, #list)
    assert.equal(4, different)
    assert.equal(state, select(3, drawn(2)))
  end)
end)

describe("several ranks", function()
  if ranks.missing() then
    it("are started by mpirun", function()
      pending(ranks.missing())
    end)
    return
  end

  it("talk to each other", function()
    local output = ranks.succeed(3, [[
      local ranks = saros.ranks
      local r = ranks.rank()
      local x = ranks.all_reduce(saros.tensor { r + 0.25, 2 * r })
      local y = ranks.broadcast(saros.ids { { r + 1, 5 } }, 2)
      local least = ranks.all_reduce(saros.tensor { r + 1.5 }, "min")[1]
      local mean = ranks.all_reduce(saros.tensor { r }, "mean")[1]
      local texts = ranks.gather { text = ("x"):rep(300 * r), rank = r, size = ranks.size() }
      ranks.barrier()
      local view = saros.zeros(3, 2)
      ranks.broadcast(view:slice(2, 1, 1):fill(r + 1), 1)
      local total = ranks.total(r == 1 and {} or { r + 0.5, 1 / 3 })
      if r == 2 then
        print(x[1], x[2], y[1][1], least, mean, #texts, #texts[3].text, texts[2].rank, texts[1].size, view[3][1],
          view[3][2], total == 0.5 + 1 / 3 + 2.5 + 1 / 3)
      end]])
    assert.equal("3.75\t6.0\t3\t1.5\t1.0\t3\t600\t1\t3\t2.0\t0.0\ttrue\n", output)
  end)

  it("train with the same bits, whatever their number", function()
    local script = files.read "examples/ranks.lua"
    local alone = commands.succeed("examples/ranks.lua", 20)
    assert.matches("^step  20  loss %d%.%d+\nweights %x+ ", alone)
    for _, count in ipairs { 1, 2, 3, 4, 7 } do
      assert.equal(alone, ranks.succeed(count, script, 20), count .. " ranks")
    end
  end)

  it("train with the same bits over a network", function()
    local output, status = ranks.run("--network 3", files.read "examples/ranks.lua", 20)
    if status == 77 then
      pending(output)
    end
    assert.equal(0, status, output)
    assert.equal(commands.succeed("examples/ranks.lua", 20), output)
  end)

  it("share weights and generators", function()
    local output = ranks.succeed(2, [[
      local nn, ranks = saros.nn, saros.ranks
      local net = nn.chain { nn.linear { 3, 2 }, nn.dropout { p = 0.5 } }:init { seed = 1 + ranks.rank() }
      local before = net:parameters()[1]:digest()
      ranks.share(net)
      local _, generator = next(net:generators())
      if ranks.rank() == 1 then print(before == net:parameters()[1]:digest()) end
      local all = ranks.gather(net:parameters()[1]:digest() .. generator:state())
      if ranks.rank() == 0 then print(all[1] == all[2], before == net:parameters()[1]:digest()) end]])
    assert.matches("false\n", output, 1, true)
    assert.matches("true\ttrue\n", output, 1, true)
  end)

  it("add gradients of their own to those of others, parameters without any left alone", function()
    local output = ranks.succeed(2, [[
      local nn, ranks = saros.nn, saros.ranks
      local net = nn.chain { nn.linear { 1, 1 }, nn.linear { 1, 1 } }:init { seed = 1 }
      local parameters = net:parameters()
      local tape <close> = saros.tape()
      tape:backward((parameters[1] * (ranks.rank() + 1)):sum() + (ranks.rank() == 1 and parameters[2] or 0))
      tape:close()
      ranks.sum_gradients(net)
      if ranks.rank() == 0 then
        print(parameters[1]:gradient()[1][1], parameters[2]:gradient()[1], parameters[3]:gradient())
      end]])
    assert.equal("3.0\t1.0\tnil\n", output)
  end)

  it("round what travels in bf16 to nearest, and keep what is not finite", function()
    local output = ranks.succeed(2, [[
      local ranks = saros.ranks
      local net = saros.nn.linear { 1, 4 }:init { seed = 1 }
      local first = net:parameters()[1]
      local function sum(wire)
        net:clear_gradients()
        local tape <close> = saros.tape()
        local own = saros.tensor { { 1 + 2^-10 }, { 3 + 3 * 2^-7 }, { ranks.rank() == 1 and 1 / 0 or 1 }, { -2 } }
        tape:backward((first * own):sum())
        tape:close()
        ranks.sum_gradients(net, { wire = wire })
        local g = first:gradient()
        return ("%.9g %.9g %g %g"):format(g[1][1], g[2][1], g[3][1], g[4][1])
      end
      local real, bf16 = sum "real", sum "bf16"
      for _, other in ipairs(ranks.gather(bf16)) do assert(other == bf16) end
      if ranks.rank() == 0 then print(real) print(bf16) end]])
    -- 3 + 3 / 128 lies between two of them, 1 / 64 apart, and goes to the even one.
    assert.equal("2.00195312 6.046875 inf -4\n2 6.0625 inf -4\n", output)
  end)

  -- Runs three ranks, of which one does something else; what they say, and the seconds.
  local function with_trouble(code)
    local began = saros.clock()
    local output, status = ranks.run(3, "local ranks, r = saros.ranks, saros.ranks.rank()\n" .. code
      .. "\nranks.all_reduce(saros.ones(3))")
    assert.is_true(status ~= 0)
    return output, saros.clock() - began
  end

  it("all end within seconds if one fails, and say which and why", function()
    local output, seconds = with_trouble 'if r == 1 then error("no more of it", 0) end'
    assert.matches("saros: no more of it\n", output, 1, true)
    assert.matches("ranks: rank 1 on %S+ has failed: no more of it\n", output)
    assert.is_true(seconds < 10, output)
  end)

  it("do not wait for one that has ended", function()
    local output = with_trouble "if r == 1 then return end"
    assert.matches("ranks: expected rank 1 on %S+ to take part in ranks.all_reduce by sum of 3 numbers in 3 parts, "
      .. "but it has ended\n", output)
  end)

  it("do not wait for one that was killed", function()
    local output, seconds = with_trouble 'if r == 1 then os.execute "kill -9 $PPID" end'
    assert.is_true(seconds < 10, output)
  end)

  it("do not wait for ever", function()
    local output = with_trouble "ranks.timeout(0.5) if r == 1 then while true do end end"
    assert.matches("ranks: expected all ranks in ranks.all_reduce by sum of 3 numbers in 3 parts within 0.5 seconds, "
      .. "rank %d on %S+ has waited in vain; ranks.timeout%(seconds%) allows for more", output)
  end)

  it("refuse to be in different calls", function()
    local output = with_trouble "if r == 1 then ranks.barrier() end"
    assert.matches("ranks: expected all ranks in the same call, got rank 1 on %S+ in ranks.barrier and rank 0 on %S+ "
      .. "in ranks.all_reduce by sum of 3 numbers in 3 parts\n", output)
  end)

  it("do not run without the module of their MPI", function()
    local output, status = commands.run_with("PMI_RANK=0", "-e", [[
      package.cpath, arg = "", {}
      print(saros.ranks.size())]])
    assert.equal(1, status)
    assert.matches("ranks: expected saros_mpi.so, since MPICH has started this process; `make mpi` builds it", output,
      1, true)
  end)
end)
