-- One request for one breaker's fleet: the same as breaker.NewStore, to the µs. Times are µs of this
-- server. KEYS: a hash (state), two sorted sets (member, until when its vote is valid; member, last
-- seen), a string (the probe: era, until when, member). ARGV: the operation, the member, the era it
-- has seen, and the operation's own arguments.
local hash, votes, seen, probe = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local op, member, era = ARGV[1], ARGV[2], tonumber(ARGV[3])
local closed, halfopen, open, isolated = 1, 2, 3, 4

local clock = redis.call('TIME')
local now = clock[1] * 1000000 + clock[2]

local function digits(x) return string.format('%.0f', x) end
local h = redis.call('HMGET', hash, 'era', 'state', 'until', 'open_for', 'last', 'opened', 'cause')
local function number(i) -- values that are not usable numbers count as absent
	local x = h[i] and tonumber(h[i])
	if x and x > -9e15 and x < 9e15 then return x end
	return 0
end
local at = { era = number(1), state = number(2), ['until'] = number(3), open_for = number(4), last = number(5),
	opened = number(6), cause = h[7] or '' }
if at.state ~= open and at.state ~= isolated then at.state = closed end

if now < at.last then -- the clock was set back
	at['until'] = at['until'] - (at.last - now)
	redis.call('DEL', votes, seen, probe)
end

local function enter(state) -- a new era
	at.era, at.state, at['until'], at.open_for, at.opened = at.era + 1, state, 0, 0, now
	redis.call('DEL', probe)
	if state ~= open then redis.call('DEL', votes) end
end

local function opens(till)
	at['until'], at.open_for = till, till - now
end

local function exchange()
	local voted, openfor, cause, calls = ARGV[4] == '1', tonumber(ARGV[5]), ARGV[6], tonumber(ARGV[7])
	local isolate, release, quorum = ARGV[8] == '1', ARGV[9] == '1', tonumber(ARGV[10])
	if era > at.era then -- the server has forgotten what the member saw
		enter(closed)
		at.era = era
	end
	if calls > 0 or voted then redis.call('ZADD', seen, digits(now), member) end
	if isolate and at.state ~= isolated then
		enter(isolated)
		at.cause = cause
	elseif release and not isolate and at.state == isolated then
		enter(closed)
	end
	if era == at.era then
		if voted and at.state ~= isolated then
			local till = now + openfor
			local before = tonumber(redis.call('ZSCORE', votes, member) or 0)
			if before > now then till = math.min(till, before) end
			redis.call('ZADD', votes, digits(till), member)
			at.cause = cause
			if at.state == open and till > at['until'] then
				at['until'], at.open_for = till, math.max(at.open_for, till - now)
			end
		else
			redis.call('ZREM', votes, member)
		end
	end

	redis.call('ZREMRANGEBYSCORE', seen, '-inf', digits(now - math.max(openfor, 10000000)))
	redis.call('ZREMRANGEBYSCORE', votes, '-inf', digits(now))
	local n = redis.call('ZCARD', votes)
	local members = math.max(redis.call('ZCARD', seen), n)
	if at.state == closed and n >= math.max(2, math.ceil(quorum * members - 1e-9)) then
		enter(open)
		opens(tonumber(redis.call('ZREVRANGE', votes, 0, 0, 'WITHSCORES')[2]))
	end
	local state, left, why = at.state, 0, ''
	if state ~= closed then why = at.cause end
	if state == open then
		left = math.max(0, at['until'] - now)
		if left == 0 then state = halfopen end
	end
	return { at.era, state, left, members, n, why }
end

local function holder() -- of the probe
	local of, till, who = string.match(redis.call('GET', probe) or '', '^(%d+) (%d+) (.*)$')
	if of and tonumber(of) == at.era then return who, tonumber(till) end
end

local function mayprobe()
	local d = tonumber(ARGV[4])
	local who, till = holder()
	if d <= 0 or era ~= at.era then
		if era == at.era and who == member then redis.call('DEL', probe) end
		return 0
	end
	if at.state ~= open or now < at['until'] or who and who ~= member and now < till then return 0 end
	redis.call('SET', probe, digits(at.era) .. ' ' .. digits(now + d) .. ' ' .. member,
		'PX', digits(math.ceil(d / 1000)))
	return 1
end

local function done()
	if era ~= at.era or at.state ~= open then return 0 end
	if ARGV[4] == '1' then
		enter(closed)
	else
		local openfor = at.open_for
		enter(open)
		redis.call('DEL', votes)
		opens(now + openfor)
	end
	return 1
end

local answer
if op == 'exchange' then answer = exchange() elseif op == 'probe' then answer = mayprobe() else answer = done() end

redis.call('HSET', hash, 'era', digits(at.era), 'state', at.state, 'until', digits(at['until']),
	'open_for', digits(at.open_for), 'last', digits(now), 'opened', digits(at.opened), 'cause', at.cause)
for _, key in ipairs({ hash, votes, seen }) do redis.call('PEXPIRE', key, 86400000) end
return answer
