/* policy.c - when to ask again, how long to wait, how many at once. Pure functions. */
#include "chat/chat.h"
#include <math.h>
#include <string.h>

enum { LONGEST_WAIT = 600 };
static const double RECENT = 0.02;  /* weight of the latest end among the ends of late */
static const double TOO_POOR = 0.5; /* share of failures that may be a sign of too much */

silr_fate silr_fate_of(int status, const char *code, bool answered_before)
{
    if (status == 200)
        return SILR_FATE_ANSWER;
    if (status == 402 ||
        (status == 429 && code && (strstr(code, "insufficient_quota") || strstr(code, "billing"))))
        return SILR_FATE_STOP; /* no waiting will bring the money */
    if (status == 429 || status == 503 || status == 529)
        return SILR_FATE_THROTTLE;
    if (status == 408 || status == 409 || status == 425 || status >= 500 ||
        (status >= 300 && status < 400) || status < 200 || (status > 200 && status < 300))
        return SILR_FATE_RETRY;
    if (status == 401 || status == 403 || status == 404 || status == 405) /* of others it took the key */
        return answered_before ? SILR_FATE_RETRY : SILR_FATE_STOP;
    return SILR_FATE_GIVE_UP;
}

double silr_backoff(int attempt, double jitter, double retry_after)
{
    double base = 0.5 * exp2(attempt - 1 < 7 ? attempt - 1 : 7);

    if (retry_after >= 0) /* everyone was told the same: spread out, never come early */
        return fmin(retry_after, LONGEST_WAIT) + jitter * fmin(0.25 + 0.1 * retry_after, 5);
    return 0.05 + jitter * base;
}

void silr_window_init(silr_window *w, double most)
{
    *w = (silr_window){.size = most < 4 ? most : 4, .most = most, .probing = true, .lowered = -1e9};
}

void silr_window_good(silr_window *w)
{
    w->poor *= 1 - RECENT;
    w->size += w->probing ? 1 : 1 / w->size;
    if (w->size > w->most)
        w->size = w->most;
}

/* All that was in flight meets the same limit: it counts once a round trip. */
void silr_window_bad(silr_window *w, double now, double round_trip)
{
    w->probing = false;
    if (now - w->lowered < round_trip)
        return;
    w->lowered = now;
    w->size = w->size / 2 > 1 ? w->size / 2 : 1;
}

/* A server that fails now and then does so whatever is asked of it at once: to halve each time would
 * leave one request at a time. One that fails often may be overrun. */
void silr_window_poor(silr_window *w, double now, double round_trip)
{
    w->poor = (1 - RECENT) * w->poor + RECENT;
    if (w->poor > TOO_POOR)
        silr_window_bad(w, now, round_trip);
}
