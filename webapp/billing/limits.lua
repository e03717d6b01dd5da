-- One admission: a place among those under way (KEYS[1]) and one unit of each rate (KEYS[2..]), all or none.
-- ARGV: lease id, its time to live in ms, the most under way, then the requests a minute for each rate key.
-- Returns {1, tightest limit, remaining, ms until full again} or {0, index of the refusing key, its limit, ms to wait}.
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local lease, ttl, most = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])

redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now)
if not redis.call('ZSCORE', KEYS[1], lease) and redis.call('ZCARD', KEYS[1]) >= most then
  return {0, 1, most, 1000}
end

-- A rate is kept as the moment at which its minute's allowance is whole again (GCRA).
local whole_at, tightest = {}, {1, 0, -1, 0}
for index = 2, #KEYS do
  local limit = tonumber(ARGV[index + 2])
  local stored = tonumber(redis.call('GET', KEYS[index]) or now)
  local due = math.max(stored, now) + 60000 / limit
  if due - now > 60000 then
    return {0, index, limit, math.ceil(due - now - 60000)}
  end
  local remaining = math.floor((60000 - (due - now)) * limit / 60000)
  if tightest[3] < 0 or remaining < tightest[3] then
    tightest = {1, limit, remaining, math.ceil(due - now)}
  end
  whole_at[index] = due
end

for index, due in pairs(whole_at) do
  redis.call('SET', KEYS[index], string.format('%.3f', due), 'PX', 60000)
end
redis.call('ZADD', KEYS[1], now + ttl, lease)
-- Not sooner than a longer lease that lies here already.
redis.call('PEXPIRE', KEYS[1], math.max(ttl + 60000, redis.call('PTTL', KEYS[1])))
return tightest
