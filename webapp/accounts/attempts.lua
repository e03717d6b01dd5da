-- One attempt. KEYS[1]: whose attempts; ARGV: the most, and the ms for which they count, from the first on.
-- Returns 0 when it is allowed, else the ms to wait.
local number = redis.call('INCR', KEYS[1])
if number == 1 then
  redis.call('PEXPIRE', KEYS[1], ARGV[2])
end
return number > tonumber(ARGV[1]) and math.max(1, redis.call('PTTL', KEYS[1])) or 0
