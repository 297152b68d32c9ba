-- One request for one limit: the same as ratelimit.NewStore, to the µs. Times are µs of this server.
-- KEYS: a hash (the bucket and its figures) and a sorted set (member, last seen).
local member, rate, burst, lease = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local need, want, back = tonumber(ARGV[5]), tonumber(ARGV[6]), tonumber(ARGV[7])
local floor, hold, since = tonumber(ARGV[8]), tonumber(ARGV[9]), tonumber(ARGV[10])
local learn, answers, refusals, learned = ARGV[11] == '1', tonumber(ARGV[12]), tonumber(ARGV[13]), tonumber(ARGV[14])
local fl, ce, min, max = math.floor, math.ceil, math.min, math.max
local bucket, seen = KEYS[1], KEYS[2]
local span = 1e15

local clock = redis.call('TIME')
local now = clock[1] * 1000000 + clock[2]

local h = redis.call('HMGET', bucket, 'tat', 'last', 'pause', 'rate', 'burst', 'set', 'rate0', 'burst0',
	'until', 'answers', 'refusals', 'by', 'lead')
local function number(i) -- values that are not usable numbers count as absent
	local x = h[i] and tonumber(h[i])
	if x and x > -9e15 and x < 9e15 then return x end
end
local tat, last, pause = number(1), number(2) or now, number(3) or now
local r, b, set, r0, b0 = number(4) or 0, number(5) or 0, number(6) or 0, number(7) or 0, number(8) or 0
local till, others, refused, by, lead = number(9) or 0, number(10) or 0, number(11) or 0, h[12] or '', h[13] or ''
if r < 1e-6 or b < 1 then r, b, r0, b0 = 0, 0, 0, 0 end

-- The clock was set back.
if now < last then
	local d = last - now
	if tat then tat = tat - d end
	pause, set, till = pause - d, set - d, till - d
	for _, m in ipairs(redis.call('ZRANGE', seen, 0, -1)) do
		redis.call('ZINCRBY', seen, string.format('%.0f', -d), m)
	end
end

-- Which limit and burst are valid.
local before, full, mine = r, b, now - since
local function change(rate, burst, when, who) r0, b0, r, b, set, by = r, b, rate, burst, when, who end
if r == 0 then change(rate, burst, mine, member)
elseif learn then b = burst
elseif rate == r and burst == b then
elseif since == 0 and rate == r0 and burst == b0 then
elseif mine > set + lease or by == member and mine >= set - lease then change(rate, burst, mine, member)
elseif mine >= set - lease then change(min(r, rate), min(b, burst), max(set, mine), '')
end

-- Which member leads.
local leads, heard, met = 0, 0, 0
if learn then
	if lead ~= member and lead ~= '' and now < till then
		others, refused = others + answers, refused + refusals
	else
		leads, lead, till, heard, met, others, refused = 1, member, now + 2000000, others, refused, 0, 0
		if learned > 0 then r = learned end
	end
end
if before > 0 and (before ~= r or full ~= b) and tat and tat < now then
	tat = max(tat, now - min(span, fl(full * (1000000 / before))))
	tat = now - min(span, fl((now - tat) * before / r))
end

-- Which members are there.
redis.call('ZREMRANGEBYSCORE', seen, '-inf', string.format('%.0f', now - 10 * lease))
redis.call('ZADD', seen, string.format('%.0f', now), member)
local members = redis.call('ZCARD', seen)

-- The bucket.
local t = 1000000 / r
if not tat then tat = now + 2 * lease end
if floor ~= 0 then tat = max(tat, now + floor) end
if back > 0 then tat = tat - min(span, fl(back * t)) end
if back < 0 then tat = max(tat, min(tat + ce(-back * t), now + 3600000000)) end
tat = max(tat, now - min(span, fl(b * t)))
pause = max(pause, now + hold)
if pause > now then tat = max(tat, pause - fl(min(span, t))) end

local avail, quantum, k = max(0, fl((now - tat) / t)), max(1, fl(r * lease / 1000000 / members)), 0
local ahead = learn and lease / 2 or 2 * lease + members * t
if need > 0 and tat < now + ahead then
	k = min(max(need, min(want, quantum)), max(avail, quantum))
end
k = max(k, min(want, quantum, avail))
local first = max(0, ce(tat - now + (avail + 1) * t))
tat = tat + ce(k * t)

local w = { 'HSET', bucket, 'by', by, 'lead', lead }
for name, x in pairs({ tat = tat, last = now, pause = pause, set = set, burst = b, burst0 = b0, ['until'] = till,
	answers = others, refusals = refused }) do
	w[#w + 1], w[#w + 2] = name, string.format('%.0f', x)
end
for name, x in pairs({ rate = r, rate0 = r0 }) do -- 17 digits: to the bit
	w[#w + 1], w[#w + 2] = name, string.format('%.17g', x)
end
redis.call(unpack(w))
redis.call('PEXPIRE', bucket, 86400000)
redis.call('PEXPIRE', seen, 86400000)
return { k, min(k, avail), first, members, tat - now, max(0, pause - now), leads, heard, met, b, string.format('%.17g', r) }
