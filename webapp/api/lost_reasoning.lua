-- Keep one entry (KEYS[2]) under its tenant's index (KEYS[1]), and let the oldest go past the most.
-- ARGV: the entry, seconds to keep it, the most entries of a tenant.
local clock = redis.call('TIME')
local now = tonumber(clock[1]) + tonumber(clock[2]) / 1000000
redis.call('SET', KEYS[2], ARGV[1], 'EX', ARGV[2])
redis.call('ZADD', KEYS[1], now, KEYS[2])
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now - ARGV[2])
local spare = redis.call('ZCARD', KEYS[1]) - tonumber(ARGV[3])
if spare > 0 then
  for _, name in ipairs(redis.call('ZRANGE', KEYS[1], 0, spare - 1)) do
    redis.call('DEL', name)
    redis.call('ZREM', KEYS[1], name)
  end
end
redis.call('EXPIRE', KEYS[1], ARGV[2])
