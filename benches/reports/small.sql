-- 20,000 accounts of 3 organizations and 12 users, four weeks: what 3 million events of `seatmeter generate` come to. The first
-- organization is at the top, the others lie below it. Each user has had two seats, and was active on two days of three.
INSERT INTO organizations_seen
    SELECT concat('account-', toString(intDiv(number, 4))), if(number % 4 = 0, '', toString(number % 4)) FROM numbers(80000);
INSERT INTO zone_facts
    SELECT concat('account-', toString(number)), toDateTime64({first_day:Date}, 3, 'UTC'), 'usage-events/bench/0', number,
        ['UTC', 'Europe/Berlin', 'America/New_York', 'Asia/Tokyo'][number % 4 + 1]
    FROM numbers(20000);
INSERT INTO directory_state
    SELECT concat('account-', toString(number)), 'account', '', concat('account-', toString(number)), 'name',
        (toDateTime64({first_day:Date}, 3, 'UTC'), 'usage-events/bench/0', number, concat('Account ', toString(number)),
            concat('account ', toString(number)))
    FROM numbers(20000);
INSERT INTO directory_state
    SELECT concat('account-', toString(intDiv(number, 3))), 'organization', '', toString(number % 3 + 1),
        arrayJoin(['name', 'parent']) AS field,
        (toDateTime64({first_day:Date}, 3, 'UTC'), 'usage-events/bench/0', number,
            if(field = 'name', concat('Organization ', toString(number % 3 + 1)), if(number % 3 = 0, '', '1')),
            if(field = 'name', concat('organization ', toString(number % 3 + 1)), ''))
    FROM numbers(60000);
INSERT INTO directory_state
    SELECT concat('account-', toString(intDiv(number, 12))), 'user', '', toString(number % 12 + 1),
        arrayJoin(['name', 'email']) AS field,
        (toDateTime64({first_day:Date}, 3, 'UTC'), 'usage-events/bench/0', number,
            if(field = 'name', concat('User ', hex(cityHash64(number))), concat('user', toString(number), '@example.com')),
            if(field = 'name', lower(concat('User ', hex(cityHash64(number)))), ''))
    FROM numbers(240000);
INSERT INTO license_facts
    SELECT concat('account-', toString(intDiv(number, 8))), if(number % 2 = 0, '', toString(number % 3 + 1)),
        toDateTime64({first_day:Date}, 3, 'UTC') + toIntervalDay(number % 8 * 3), 'usage-events/bench/0', number, number % 20
    FROM numbers(160000);
INSERT INTO seat_facts
    SELECT concat('account-', toString(intDiv(number, 36))), toString(intDiv(number, 3) % 12 + 1),
        toString(intDiv(number, 3) % 3 + 1),
        toDateTime64({first_day:Date}, 3, 'UTC') + toIntervalDay(number % 3 * 8) + toIntervalSecond(cityHash64(number) % 600000),
        if(number % 3 = 1, 'revoked', 'assigned'), 'usage-events/bench/0', number, '',
        if(number % 3 = 1, '', concat('account-', toString(intDiv(number, 36))))
    FROM numbers(720000);
INSERT INTO seat_intervals
    SELECT account_id, organization_id, user_id, time, (false, source, offset, project_id, license_source),
        if(offset % 3 = 0, next_time, toDateTime64('2299-12-31 23:59:59.999', 3, 'UTC')), offset % 3 = 0,
        if(offset % 7 = 0, toDateTime64('2299-12-31 23:59:59.999', 3, 'UTC'), time + toIntervalHour(5)),
        if(offset % 7 = 0, toDateTime64(0, 3, 'UTC'), time + toIntervalHour(60))
    FROM
    (
        SELECT *, leadInFrame(time) OVER (PARTITION BY account_id, user_id ORDER BY offset ROWS BETWEEN CURRENT ROW AND UNBOUNDED FOLLOWING) AS next_time
        FROM seat_facts
    )
    WHERE kind = 'assigned';
INSERT INTO active_users_state
    SELECT concat('account-', toString(intDiv(number, 336))), toString(number % 12 % 3 + 1) AS organization,
        {first_day:Date} + intDiv(number, 12) % 28 AS day, groupBitmapState(toUInt64(number % 12 + 1))
    FROM numbers(6720000)
    WHERE cityHash64(number) % 3 > 0
    GROUP BY intDiv(number, 336), organization, day;
INSERT INTO test_executions_state
    SELECT concat('account-', toString(intDiv(number, 84))), toString(number % 3 + 1), '7',
        {first_day:Date} + intDiv(number, 3) % 28, 'usage-events/bench/0', number % 10, number % 5, number % 1000, number
    FROM numbers(1680000);
INSERT INTO plan_facts
    SELECT concat('account-', toString(intDiv(number, 3))), toString(number % 3 + 1),
        toDateTime64({first_day:Date}, 3, 'UTC') + toIntervalHour(10), 'usage-events/bench/0', number, 'started', 'team', 1000
    FROM numbers(60000);
INSERT INTO quota_usage_state
    SELECT concat('account-', toString(intDiv(number, 84))), toString(number % 3 + 1),
        toDateTime64({first_day:Date}, 3, 'UTC') + toIntervalHour(10), 1, {first_day:Date} + intDiv(number, 3) % 28,
        'usage-events/bench/0', number % 10, number
    FROM numbers(1680000);
INSERT INTO account_progress (account_id, source, upto, first_event, last_event, directory_upto, seats_upto, uses_upto, activity_upto, tests_upto)
    SELECT concat('account-', toString(number)), 'usage-events/bench/0', 3000000, (number, 0), (2900000 + number, 0),
        3000000, 3000000, 3000000, 3000000, 3000000
    FROM numbers(20000);
INSERT INTO source_progress (source, topic, topic_id, partition, next_offset, accepted, high_watermark)
    SELECT 'usage-events/bench/0', 'usage-events', 'bench', 0, 3000000, 3000000, 3000000;
