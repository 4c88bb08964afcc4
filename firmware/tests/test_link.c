/* The connection: made, lost, made again. */
#include "harness.h"

static struct bench bench;

static void it_connects_subscribes_and_says_that_it_is_there(void)
{
    bench_start(&bench, IOT_MODERN);
    CHECK(iot_poll(&bench.iot) == 0 && bench.opened == 1);
    CHECK_TEXT(bench.session.client_id, DEVICE);
    CHECK_TEXT(bench.session.will_topic, "server/" DEVICE "/presence");
    CHECK_TEXT(bench.session.will_payload, "{\"value\": \"offline\"}");
    iot_connected(&bench.iot);
    CHECK_TEXT(bench.filter, DEVICE "/#");
    CHECK(bench.said_count == 0);
    iot_subscribed(&bench.iot);
    CHECK_TEXT(bench.said[0].topic, "server/" DEVICE "/presence");
    CHECK_TEXT(bench.said[0].payload, "{\"value\": \"online\"}");
    CHECK(bench.iot.state == IOT_LISTENING);
}

static void a_device_without_presence_says_nothing_of_it(void)
{
    bench_start(&bench, iot_features("standard"));
    iot_poll(&bench.iot);
    iot_connected(&bench.iot);
    iot_subscribed(&bench.iot);
    iot_stop(&bench.iot);
    CHECK(bench.session.will_topic == NULL && bench.said_count == 0 && bench.closed == 1);
}

static uint32_t wait_until_opened(void)
{
    int before = bench.opened;
    uint32_t began = bench.now_ms;

    while (bench.opened == before && bench.now_ms - began < 100000) {
        uint32_t ms = iot_poll(&bench.iot);
        CHECK(ms <= IOT_IDLE_MS);
        bench.now_ms += bench.opened == before ? (ms > 0 ? ms : 1) : 0;
    }
    return bench.now_ms - began;
}

static void each_next_try_waits_twice_as_long_but_never_over_a_minute(void)
{
    static const uint32_t waits[] = {1000, 2000, 4000, 8000, 16000, 32000, 60000, 60000};
    size_t at;

    bench_start(&bench, 0);
    bench.now_ms = 0xfffff000u; /* the clock begins again at zero meanwhile */
    bench.refuse_open = true;
    wait_until_opened();
    for (at = 0; at < COUNT_OF(waits); at++) {
        CHECK(wait_until_opened() == waits[at]);
    }
    bench.refuse_open = false;
    wait_until_opened();
    iot_connected(&bench.iot);
    iot_subscribed(&bench.iot);
    bench.now_ms += IOT_SETTLED_MS;
    iot_disconnected(&bench.iot);
    CHECK(wait_until_opened() == 1000);
}

static void one_that_is_put_out_again_at_once_comes_back_ever_later(void)
{
    uint32_t wanted = 1000;
    int times;

    bench_start(&bench, 0);
    wait_until_opened();
    for (times = 0; times < 5; times++) {
        iot_connected(&bench.iot);
        iot_subscribed(&bench.iot);
        bench.now_ms += IOT_SETTLED_MS - 1;
        iot_disconnected(&bench.iot);
        CHECK(wait_until_opened() == wanted);
        wanted *= 2;
    }
}

static void a_subscription_that_cannot_be_asked_for_is_tried_again(void)
{
    bench_start(&bench, 0);
    bench.refuse_subscribe = true;
    iot_poll(&bench.iot);
    iot_connected(&bench.iot);
    CHECK(bench.closed == 1 && bench.iot.state == IOT_WAITING);
}

static uint32_t most_random(void *context)
{
    (void)context;
    return 249;
}

static void a_fleet_is_spread_by_a_quarter(void)
{
    bench_start(&bench, 0);
    bench.hal.random = most_random;
    iot_poll(&bench.iot);
    iot_disconnected(&bench.iot);
    CHECK(wait_until_opened() == 751);
}

static void a_connection_that_never_comes_is_given_up(void)
{
    bench_start(&bench, 0);
    iot_poll(&bench.iot);
    bench.now_ms += IOT_CONNECT_MS;
    iot_poll(&bench.iot);
    CHECK(bench.closed == 1 && bench.iot.state == IOT_WAITING);
    wait_until_opened();
    iot_connected(&bench.iot);
    bench.now_ms += IOT_CONNECT_MS;
    iot_poll(&bench.iot);
    CHECK(bench.closed == 2 && bench.iot.state == IOT_WAITING);
}

static void news_of_a_connection_that_is_no_more_changes_nothing(void)
{
    bench_start(&bench, IOT_MODERN);
    iot_connected(&bench.iot);
    iot_subscribed(&bench.iot);
    CHECK(bench.iot.state == IOT_WAITING && bench.said_count == 0);
    bench_command(&bench, "get_status", "{}");
    CHECK(bench.said_count == 0);
    iot_stop(&bench.iot);
    iot_disconnected(&bench.iot);
    bench.now_ms += 100000;
    iot_poll(&bench.iot);
    CHECK(bench.iot.state == IOT_STOPPED && bench.opened == 0);
}

static void it_says_goodbye(void)
{
    bench_connect(&bench, IOT_MODERN);
    iot_stop(&bench.iot);
    CHECK(bench.said_count == 1 && bench.closed == 1);
    CHECK_TEXT(bench.said[0].payload, "{\"value\": \"offline\"}");
}

int main(void)
{
    it_connects_subscribes_and_says_that_it_is_there();
    a_device_without_presence_says_nothing_of_it();
    each_next_try_waits_twice_as_long_but_never_over_a_minute();
    one_that_is_put_out_again_at_once_comes_back_ever_later();
    a_subscription_that_cannot_be_asked_for_is_tried_again();
    a_fleet_is_spread_by_a_quarter();
    a_connection_that_never_comes_is_given_up();
    news_of_a_connection_that_is_no_more_changes_nothing();
    it_says_goodbye();
    return report("link");
}
