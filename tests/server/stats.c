/* stats.c - what came and what went: GET /stats, POST /reset, --log. */
#include "server.h"
#include "base/hash.h"
#include "base/mem.h"
#include <fcntl.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

enum { STATUSES = 600 };

static struct {
    uint64_t requests, chat, unique, connections, lines;
    uint64_t answers, answers_twice, abandoned, dropped;
    uint64_t statuses[STATUSES], faults[FAULTS];
    uint64_t without_key;
    unsigned max_in_flight, max_working;
    double cpu; /* when it began */
} n;
static unsigned in_flight; /* is what it is, whatever is reset */
static uint64_t seq;
static int log_fd = -1;

/* --- bodies seen: a table with open addresses ------------------------------------------- */

static struct seen *seen;
static size_t places, used;

static struct seen *place_of(uint64_t hash)
{
    size_t i = hash & (places - 1);

    while (seen[i].hash != 0 && seen[i].hash != hash)
        i = (i + 1) & (places - 1);
    return &seen[i];
}

static struct seen *find_seen(uint64_t hash)
{
    struct seen *old = seen, *s;
    size_t n_old = places;

    if (2 * (used + 1) > places) {
        places = places ? 2 * places : 1024;
        seen = must(silr_calloc(places, sizeof *seen));
        for (size_t i = 0; i < n_old; i++)
            if (old[i].hash)
                *place_of(old[i].hash) = old[i];
        silr_free(old);
    }
    s = place_of(hash ? hash : 1);
    if (!s->hash) {
        s->hash = hash ? hash : 1;
        used++;
    }
    return s;
}

uint32_t stats_attempt(uint64_t hash, bool chat)
{
    struct seen *s = find_seen(hash);

    n.unique += chat && s->attempts == 0;
    return ++s->attempts;
}

void stats_answered(uint64_t hash)
{
    n.answers++;
    n.answers_twice += find_seen(hash)->answers++ > 0;
}

/* --- keys seen -------------------------------------------------------------------------- */

static struct {
    uint64_t hash;
    bool right;
} * keys;
static size_t n_keys, keys_cap;

static void count_key(const char *key)
{
    uint64_t hash = silr_hash64(key, strlen(key), 0);

    if (!key[0]) {
        n.without_key++;
        return;
    }
    for (size_t i = 0; i < n_keys; i++)
        if (keys[i].hash == hash)
            return;
    must(silr_grow(&keys, &keys_cap, n_keys + 1, sizeof *keys) ? keys : NULL);
    keys[n_keys].hash = hash;
    keys[n_keys++].right = opt.key && strcmp(opt.key, key) == 0;
}

/* --- the log ---------------------------------------------------------------------------- */

void stats_open(void)
{
    if (!opt.log)
        return;
    log_fd = open(opt.log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
    if (log_fd < 0) {
        fprintf(stderr, "chat_server: %s: %s\n", opt.log, strerror(errno));
        exit(2);
    }
}

/* One write a line, so that it is in the file, whole, before the request is worked on. */
static void write_log(const struct request *r)
{
    silr_buf b = {0};

    silr_buf_printf(&b, "{\"seq\":%llu,\"hash\":\"%016llx\",\"method\":\"%s\",\"path\":",
                    (unsigned long long)seq, (unsigned long long)r->hash, r->method);
    silr_buf_json(&b, r->path, strlen(r->path));
    silr_buf_printf(&b, ",\"bytes\":%zu}\n", r->body.len);
    must_be_whole(&b);
    if (write(log_fd, b.data, b.len) != (ssize_t)b.len)
        perror("chat_server: log");
    silr_buf_clear(&b);
}

/* --- counting --------------------------------------------------------------------------- */

static double cpu_seconds(void)
{
    struct rusage u;

    getrusage(RUSAGE_SELF, &u);
    return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) +
           1e-6 * (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec);
}

void stats_connection(void)
{
    n.connections++;
}

void stats_received(struct request *r)
{
    if (!route_api(r->path))
        return; /* our own */
    seq++;
    n.requests++;
    count_key(r->key);
    if (r->chat) {
        n.chat++;
        if (++in_flight > n.max_in_flight)
            n.max_in_flight = in_flight;
    }
    if (log_fd >= 0)
        write_log(r);
}

void stats_finished(const struct request *r)
{
    if (!route_api(r->path))
        return;
    in_flight -= r->chat;
    if (!r->sent && (r->answer.how == RESET || r->answer.how == NEVER))
        n.dropped++;
    else if (!r->sent)
        n.abandoned++;
}

void stats_working(unsigned working)
{
    if (working > n.max_working)
        n.max_working = working;
}

void stats_fault(enum fault f)
{
    n.faults[f]++;
}

void stats_line(void)
{
    n.lines++;
}

void stats_sent(const struct request *r)
{
    if (!route_api(r->path))
        return;
    if (r->answer.status < STATUSES)
        n.statuses[r->answer.status]++;
    if (r->chat && r->answer.valid)
        stats_answered(r->hash);
}

/* --- telling ---------------------------------------------------------------------------- */

static void put(silr_buf *b, const char *name, uint64_t v)
{
    silr_buf_printf(b, "%s\"%s\":%llu", b->data[b->len - 1] == '{' ? "" : ",", name,
                    (unsigned long long)v);
}

static void put_keys(silr_buf *b)
{
    silr_buf_printf(b, ",\"authorization\":{\"distinct\":%zu,\"without\":%llu,\"equals_key\":[",
                    n_keys, (unsigned long long)n.without_key);
    for (size_t i = 0; i < n_keys; i++)
        silr_buf_printf(b, "%s%s", i ? "," : "", keys[i].right ? "true" : "false");
    silr_buf_puts(b, "]}");
}

void stats_get(struct answer *a)
{
    silr_buf *b = &a->body;
    char name[16];

    answer_json(a, 200);
    silr_buf_puts(b, "{");
    put(b, "requests", n.requests);
    put(b, "chat", n.chat);
    put(b, "unique_bodies", n.unique);
    put(b, "answers", n.answers);
    put(b, "answers_twice", n.answers_twice);
    put(b, "abandoned", n.abandoned);
    put(b, "dropped", n.dropped);
    put(b, "in_flight", in_flight);
    put(b, "max_in_flight", n.max_in_flight);
    put(b, "max_working", n.max_working);
    put(b, "connections", n.connections);
    put(b, "files", files_count());
    put(b, "batches", batch_count());
    put(b, "batch_lines", n.lines);
    silr_buf_puts(b, ",\"statuses\":{");
    for (int i = 0; i < STATUSES; i++) {
        snprintf(name, sizeof name, "%d", i);
        if (n.statuses[i])
            put(b, name, n.statuses[i]);
    }
    silr_buf_puts(b, "},\"faults\":{");
    for (enum fault f = 0; f < FAULTS; f++)
        if (n.faults[f])
            put(b, fault_names[f], n.faults[f]);
    silr_buf_puts(b, "}");
    put_keys(b);
    silr_buf_printf(b, ",\"cpu_seconds\":%.3f}", cpu_seconds() - n.cpu);
}

/* Attempts begin anew, too: the faults are those of a fresh server. Files and batches stay. */
void stats_reset(void)
{
    memset(&n, 0, sizeof n);
    silr_free(seen);
    silr_free(keys);
    seen = NULL;
    keys = NULL;
    places = used = n_keys = keys_cap = 0;
    n.cpu = cpu_seconds();
}
