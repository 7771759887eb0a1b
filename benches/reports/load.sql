-- One account: 2,020 organizations (20 at the top, each with 100 below it), 100,000 users with a seat, three years.
-- Everything is a row that the worker would have written; materialized views do their part as they do for a worker.
INSERT INTO organizations_seen SELECT 'acme', if(number = 0, '', toString(number)) FROM numbers(2021);
INSERT INTO zone_facts SELECT 'acme', toDateTime64('2020-01-01', 3, 'UTC'), 'usage-events/bench/0', 1, 'Europe/Berlin';
INSERT INTO directory_state
    SELECT 'acme', 'organization', '', toString(number + 1), 'name',
        (toDateTime64('2020-01-01', 3, 'UTC'), 'usage-events/bench/0', number + 10, concat('Organization ', toString(number + 1)),
            concat('organization ', toString(number + 1)))
    FROM numbers(2020);
INSERT INTO directory_state
    SELECT 'acme', 'organization', '', toString(n), 'parent',
        (toDateTime64('2020-01-01', 3, 'UTC'), 'usage-events/bench/0', n + 10,
            toString(if(n <= 220, (n - 21) % 20 + 1, 21 + (n - 221) % 200)), '')
    FROM (SELECT number + 21 AS n FROM numbers(2000));
INSERT INTO directory_state
    SELECT 'acme', 'user', '', toString(number + 1), arrayJoin(['name', 'email']) AS field,
        (toDateTime64('2020-01-01', 3, 'UTC'), 'usage-events/bench/0', number + 10000,
            if(field = 'name', concat('User ', hex(cityHash64(number))), concat('user', toString(number + 1), '@example.com')),
            if(field = 'name', lower(concat('User ', hex(cityHash64(number)))), ''))
    FROM numbers(100000);
INSERT INTO license_facts
    SELECT 'acme', if(number % 2 = 0, '', toString(number % 2020 + 1)),
        toDateTime64({first_day:Date}, 3, 'UTC') + toIntervalHour(number * 3), 'usage-events/bench/0', number, number * 10
    FROM numbers(8000);
-- Each user gets a seat in the first year, gives it back in the second, and gets it anew in the third.
INSERT INTO seat_facts
    SELECT 'acme', toString(u), toString(u % 2020 + 1),
        toDateTime64({first_day:Date}, 3, 'UTC') + toIntervalSecond(cityHash64(u, k) % 31536000 + k * 31536000),
        if(k = 1, 'revoked', 'assigned'), 'usage-events/bench/0', u * 3 + k, if(k = 1, '', toString(u % 7)), if(k = 1, '', 'acme')
    FROM (SELECT number % 100000 + 1 AS u, intDiv(number, 100000) AS k FROM numbers(300000));
INSERT INTO seat_intervals
    SELECT account_id, organization_id, user_id, time, (false, source, offset, project_id, license_source),
        ifNull(next_time, toDateTime64('2299-12-31 23:59:59.999', 3, 'UTC')), has_later,
        if(is_used, first_use, toDateTime64('2299-12-31 23:59:59.999', 3, 'UTC')),
        if(is_used, least(first_use + toIntervalMinute(100000), toDateTime64({last_day:Date}, 3, 'UTC')), toDateTime64(0, 3, 'UTC'))
    FROM
    (
        SELECT *,
            leadInFrame(toNullable(time)) OVER w AS next_time,
            max(kind = 'assigned') OVER (PARTITION BY user_id ORDER BY time ROWS BETWEEN 1 FOLLOWING AND UNBOUNDED FOLLOWING) AS has_later,
            time + toIntervalMinute(cityHash64(user_id) % 10000) AS first_use,
            cityHash64(user_id, time) % 10 != 0 AND time < toDateTime64({last_day:Date}, 3, 'UTC') - toIntervalDay(8) AS is_used
        FROM seat_facts
        WINDOW w AS (PARTITION BY user_id ORDER BY time ROWS BETWEEN CURRENT ROW AND UNBOUNDED FOLLOWING)
    )
    WHERE kind = 'assigned';
INSERT INTO active_users_state
    SELECT 'acme', toString(o), d, groupBitmapState(toUInt64((cityHash64(o, d, k) % 50) * 2020 + o - 1))
    FROM (SELECT intDiv(number, 1096 * 9) + 1 AS o, {first_day:Date} + intDiv(number, 9) % 1096 AS d, number % 9 AS k FROM numbers(2020 * 1096 * 9))
    GROUP BY o, d;
INSERT INTO test_executions_state
    SELECT 'acme', toString(intDiv(number, 1096) + 1), '7', {first_day:Date} + number % 1096, 'usage-events/bench/0',
        number % 10, number % 5, number % 1000, number
    FROM numbers(2020 * 1096);
INSERT INTO plan_facts
    SELECT 'acme', toString(number + 1), toDateTime64({first_day:Date}, 3, 'UTC') + toIntervalHour(10), 'usage-events/bench/0', number,
        'started', 'team', 1000
    FROM numbers(2020);
INSERT INTO quota_usage_state
    SELECT 'acme', toString(intDiv(number, 1096) + 1), toDateTime64({first_day:Date}, 3, 'UTC') + toIntervalHour(10),
        dateDiff('month', {first_day:Date}, {first_day:Date} + number % 1096) + 1, {first_day:Date} + number % 1096,
        'usage-events/bench/0', number % 10, number
    FROM numbers(2020 * 1096);
INSERT INTO source_progress (source, topic, topic_id, partition, next_offset, accepted, high_watermark)
    SELECT 'usage-events/bench/0', 'usage-events', 'bench', 0, 10000000, 10000000, 10000000;
