"""What must happen in Redis all at once, in Lua."""

# Queue a request once, though the call is tried again: the connection may break after Redis did it and before
# it said so. To the worker that was chosen if it takes requests still, else to all. Answers "entry owner".
#   keys: sent, shared queue, reader, models, heartbeat, own queue, owners
#   args: model, payload, most requests, seconds to remember, milliseconds to read, owner or ""
SUBMIT = """
local sent = redis.call('GET', KEYS[1])
if sent then return sent end
local queue, owner = KEYS[2], ''
if ARGV[6] ~= '' then
  local beat = redis.call('GET', KEYS[5])
  if beat and cjson.decode(beat)['state'] == 'ready' then
    queue, owner = KEYS[6], ARGV[6]
    redis.call('SADD', KEYS[7], owner)
  end
end
local entry_id = redis.call('XADD', queue, 'MAXLEN', ARGV[3], '*', 'm', ARGV[2])
sent = entry_id .. ' ' .. owner
redis.call('SET', KEYS[1], sent, 'EX', ARGV[4])
redis.call('SET', KEYS[3], 1, 'PX', ARGV[5])
redis.call('SADD', KEYS[4], ARGV[1])
return sent
"""

# Give entries that were handed to one worker to another; two that try at once do not both get them.
#   keys: queue
#   args: group, from, to, least idle milliseconds, most entries, ids to leave where they are ...
CLAIM = """
local left = {}
for place = 6, #ARGV do left[ARGV[place]] = true end
local claimed = {}
for _, entry in ipairs(redis.call('XPENDING', KEYS[1], ARGV[1], '-', '+', 1000, ARGV[2])) do
  if #claimed >= tonumber(ARGV[5]) then break end
  if not left[entry[1]] and entry[3] >= tonumber(ARGV[4]) then
    local got = redis.call('XCLAIM', KEYS[1], ARGV[1], ARGV[3], 0, entry[1])[1]
    if got then claimed[#claimed + 1] = got else redis.call('XACK', KEYS[1], ARGV[1], entry[1]) end
  end
end
return claimed
"""

# Remove the queue of a worker that is gone, once nothing is left in it.
#   keys: heartbeat, queue, owners
#   args: owner
REMOVE_QUEUE = """
if redis.call('EXISTS', KEYS[1]) == 0 and redis.call('XLEN', KEYS[2]) == 0 then
  redis.call('DEL', KEYS[2])
  redis.call('SREM', KEYS[3], ARGV[1])
end
"""
