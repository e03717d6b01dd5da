-- Rates, tokens and leases of all scopes of a caller in one call, all or none, by the clock of Redis.
-- KEYS: the lease's own, then four for each scope: leases, requests, tokens of a minute, tokens of a day.
-- ARGV: what to do, the lease's id, its time to live in ms, tokens; then for each scope as many as are let be under
-- way, requests a minute, tokens a minute, tokens a day; 0: no limit.
--
-- A rate is kept as the moment at which its allowance is whole again (GCRA), so giving back moves that moment.
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local doing, lease, ttl, tokens = ARGV[1], ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4])
local MINUTE, DAY = 60000, 86400000
local num_scopes = (#KEYS - 1) / 4

local function key(scope, which) return KEYS[1 + (scope - 1) * 4 + which] end
local function limit(scope, which) return tonumber(ARGV[4 + (scope - 1) * 4 + which]) end
local function whole_at(name) return math.max(tonumber(redis.call('GET', name) or now), now) end
local function set(name, due)
  redis.call('SET', name, string.format('%.3f', due), 'PX', math.max(1, math.ceil(due - now)))
end

if doing == 'renew' or doing == 'return' then
  for scope = 1, num_scopes do
    local leases = key(scope, 1)
    if limit(scope, 1) > 0 then
      -- A lease that ran out stays lost, unless it may come back, whoever is there.
      redis.call('ZADD', leases, doing == 'renew' and 'XX' or 'CH', now + ttl, lease)
      redis.call('PEXPIRE', leases, math.max(ttl + MINUTE, redis.call('PTTL', leases)))
    end
  end
  redis.call('PEXPIRE', KEYS[1], ttl + MINUTE)
  return {1}
end

if doing == 'leave' then
  for scope = 1, num_scopes do redis.call('ZREM', key(scope, 1), lease) end
  local taken = tonumber(redis.call('GET', KEYS[1]) or -1)
  redis.call('DEL', KEYS[1])
  -- Twice gives nothing back twice; what was used past what was taken is taken now.
  if taken < 0 then return {0} end
  for scope = 1, num_scopes do
    for which = 3, 4 do
      local most, window = limit(scope, which), which == 3 and MINUTE or DAY
      if most > 0 and taken ~= tokens then
        local due = whole_at(key(scope, which)) - (taken - tokens) * window / most
        if due > now then set(key(scope, which), due) else redis.call('DEL', key(scope, which)) end
      end
    end
  end
  return {1}
end

-- Returns {1, limit, remaining, ms to whole, of requests; the same of tokens} with -1 where nothing limits, or
-- {0, scope, which, limit, used, ms to wait}; a wait of -1: never, the request alone is more than the limit.
local dues, requests, of_tokens = {}, {-1, -1, 0}, {-1, -1, 0}
local function tighten(told, most, remaining, reset)
  if told[2] < 0 or remaining < told[2] then return {most, remaining, reset} end
  return told
end

for scope = 1, num_scopes do
  local most = limit(scope, 1)
  if most > 0 then
    redis.call('ZREMRANGEBYSCORE', key(scope, 1), '-inf', now)
    local under_way = redis.call('ZCARD', key(scope, 1))
    if not redis.call('ZSCORE', key(scope, 1), lease) and under_way >= most then
      return {0, scope, 1, most, under_way, 1000}
    end
  end
  for which = 2, 4 do
    most = limit(scope, which)
    local window, amount = which == 4 and DAY or MINUTE, which == 2 and 1 or tokens
    if most > 0 and amount > 0 then
      local due = whole_at(key(scope, which)) + amount * window / most
      if due - now > window then
        local used = math.floor((whole_at(key(scope, which)) - now) * most / window)
        return {0, scope, which, most, used, amount > most and -1 or math.ceil(due - now - window)}
      end
      local remaining = math.floor((window - (due - now)) * most / window)
      if which == 2 then
        requests = tighten(requests, most, remaining, math.ceil(due - now))
      else
        of_tokens = tighten(of_tokens, most, remaining, math.ceil(due - now))
      end
      dues[key(scope, which)] = due
    end
  end
end

for name, due in pairs(dues) do set(name, due) end
for scope = 1, num_scopes do
  if limit(scope, 1) > 0 then
    redis.call('ZADD', key(scope, 1), now + ttl, lease)
    -- Not sooner than a longer lease that lies here already.
    redis.call('PEXPIRE', key(scope, 1), math.max(ttl + MINUTE, redis.call('PTTL', key(scope, 1))))
  end
end
redis.call('SET', KEYS[1], tokens, 'PX', ttl + MINUTE)
return {1, requests[1], requests[2], requests[3], of_tokens[1], of_tokens[2], of_tokens[3]}
