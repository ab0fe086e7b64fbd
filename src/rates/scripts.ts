import { hash } from 'node:crypto'

/**
 * The same counts in Redis, each call one script and one round trip. Of a limit there are two keys: a hash with the minute
 * (`s` its last second, `a` that of the last addition, `r` and `t` the sums, `r0 … r60` and `t0 … t60` the seconds), and a
 * sorted set of leases, one for each running request, by the time at which they end. Time is Redis' own, so that processes
 * need not agree on theirs.
 */

export interface Script {
  readonly lua: string
  readonly sha: string
}

const PRELUDE = `
local time = redis.call('TIME')
local sec = tonumber(time[1])
local now = sec * 1000 + math.floor(tonumber(time[2]) / 1000)
local function advance(key)
  local h = redis.call('HMGET', key, 's', 'r', 't', 'a')
  local last = tonumber(h[1])
  if last == nil then return 0, 0, sec, sec - 61 end
  if sec - last > 60 or last - sec > 60 then
    redis.call('DEL', key)
    return 0, 0, sec, sec - 61
  end
  local r, t = tonumber(h[2]), tonumber(h[3])
  if sec <= last then return r, t, last, tonumber(h[4]) end
  local names = {}
  for s = last + 1, sec do
    names[#names + 1] = 'r' .. (s % 61)
    names[#names + 1] = 't' .. (s % 61)
  end
  local old = redis.call('HMGET', key, unpack(names))
  for i = 1, #names, 2 do
    r = r - (tonumber(old[i]) or 0)
    t = t - (tonumber(old[i + 1]) or 0)
  end
  redis.call('HDEL', key, unpack(names))
  redis.call('HSET', key, 's', sec, 'r', r, 't', t)
  return r, t, sec, tonumber(h[4])
end
`

function script(body: string): Script {
  const lua = `${PRELUDE}${body}`
  return { lua, sha: hash('sha1', lua) }
}

/**
 * KEYS: minute and leases of each limit. ARGV: lease, its life in ms, tokens; for each limit its three amounts, -1 for none.
 * Answers admitted (1 or 0), second, limit and measure that refused (from 1), wait in ms; then for each limit requests,
 * tokens, running requests, ms until it is empty.
 */
export const ADMIT: Script = script(`
local lease, life, tokens = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local n = #KEYS / 2
local state = {}
local refused, measure, wait = 0, 0, 0
local function untilRoom(key, field, s, used, most)
  local names = {}
  for i = 1, 61 do names[i] = field .. ((s + i) % 61) end
  local slots = redis.call('HMGET', key, unpack(names))
  local i = 0
  while used > most and i < 61 do
    i = i + 1
    used = used - (tonumber(slots[i]) or 0)
  end
  return (s + i) * 1000 - now
end
for i = 1, n do
  local minute, leases = KEYS[2 * i - 1], KEYS[2 * i]
  local requests, most, running = tonumber(ARGV[3 * i + 1]), tonumber(ARGV[3 * i + 2]), tonumber(ARGV[3 * i + 3])
  local r, t, s, a = advance(minute)
  local c = 0
  if running >= 0 then
    redis.call('ZREMRANGEBYSCORE', leases, '-inf', now)
    c = redis.call('ZCARD', leases)
  end
  state[i] = { r, t, c, s, a }
  if refused == 0 then
    if requests >= 0 and r + 1 > requests then
      refused, measure, wait = i, 1, untilRoom(minute, 'r', s, r, requests - 1)
    elseif most >= 0 and t + tokens > most then
      refused, measure, wait = i, 2, untilRoom(minute, 't', s, t, most - tokens)
    elseif running >= 0 and c + 1 > running then
      refused, measure, wait = i, 3, -1
    end
  end
end
local answer = { refused == 0 and 1 or 0, sec, refused, measure, wait }
for i = 1, n do
  local r, t, c, s, a = unpack(state[i])
  if refused == 0 then
    local minute, leases = KEYS[2 * i - 1], KEYS[2 * i]
    r, t, c, a = r + 1, t + tokens, c + 1, s
    redis.call('HSET', minute, 's', s, 'a', s, 'r', r, 't', t)
    redis.call('HINCRBY', minute, 'r' .. (s % 61), 1)
    redis.call('HINCRBY', minute, 't' .. (s % 61), tokens)
    redis.call('PEXPIRE', minute, 62000)
    if tonumber(ARGV[3 * i + 3]) >= 0 then
      redis.call('ZADD', leases, now + life, lease)
      redis.call('PEXPIRE', leases, life)
    end
    answer[2] = s
  end
  local empty = 0
  if r > 0 then empty = (a + 61) * 1000 - now end
  for _, value in ipairs({ r, t, c, empty }) do answer[#answer + 1] = value end
end
return answer
`)

/**
 * KEYS as above. ARGV: lease, tokens really used; for each limit the second and the tokens of its reservation. A second of
 * -1 ends the lease alone.
 */
export const END: Script = script(`
local lease, actual = ARGV[1], tonumber(ARGV[2])
for i = 1, #KEYS / 2 do
  local minute = KEYS[2 * i - 1]
  local at, reserved = tonumber(ARGV[2 * i + 1]), tonumber(ARGV[2 * i + 2])
  redis.call('ZREM', KEYS[2 * i], lease)
  if at >= 0 and actual ~= reserved then
    local _, _, s = advance(minute)
    if actual > reserved then
      redis.call('HSET', minute, 's', s, 'a', s)
      redis.call('HINCRBY', minute, 'r', 0)
      redis.call('HINCRBY', minute, 't', actual - reserved)
      redis.call('HINCRBY', minute, 't' .. (s % 61), actual - reserved)
      redis.call('PEXPIRE', minute, 62000)
    elseif s - at <= 60 then
      local slot = 't' .. (at % 61)
      local back = math.min(tonumber(redis.call('HGET', minute, slot)) or 0, reserved - actual)
      if back > 0 then
        redis.call('HINCRBY', minute, slot, -back)
        redis.call('HINCRBY', minute, 't', -back)
      end
    end
  end
end
return 1
`)

/** KEYS: leases. ARGV: their life in ms, then the lease of each. One that was lost is made again. */
export const RENEW: Script = script(`
local life = tonumber(ARGV[1])
for i = 1, #KEYS do
  redis.call('ZADD', KEYS[i], now + life, ARGV[i + 1])
  redis.call('PEXPIRE', KEYS[i], life)
end
return 1
`)

/** KEYS: the set of processes. ARGV: this one, the life of a sign in ms. Answers how many there are. */
export const SIGN: Script = script(`
redis.call('ZADD', KEYS[1], now + tonumber(ARGV[2]), ARGV[1])
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now)
redis.call('PEXPIRE', KEYS[1], ARGV[2])
return redis.call('ZCARD', KEYS[1])
`)

/** KEYS: the set of processes. ARGV: the one that goes. */
export const LEAVE: Script = script(`
return redis.call('ZREM', KEYS[1], ARGV[1])
`)
