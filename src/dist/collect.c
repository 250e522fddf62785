/* collect.c - sums, broadcasts, gathers, made of what a plugin has.
 *
 * MPI may add the parts of a sum in any order, and in another one the next time. So only bytes are
 * sent, and the adding is done here, a stretch of the vector after the other:
 *
 *     cut the stretch into as many pieces as there are ranks; rank r sends piece p to rank p
 *     rank p has piece p of all ranks now: adds them in the order of the ranks
 *     every rank sends its finished piece to all
 *
 * which is a reduce-scatter and an all-gather: each rank sends and receives twice the vector, whatever
 * the number of ranks. The order of adding one element does not depend on how the vector is cut. */
#include "dist/inside.h"

#include <math.h>
#include <string.h>

/* --- sums ------------------------------------------------------------------------------------------ */

/* all: [size][n], the pieces by rank; to: [n]. */
typedef void (*fold)(void *to, const void *all, size_t n, size_t size);

static void add_doubles(void *to, const void *all, size_t n, size_t size)
{
    const double *v = all;
    double *sum = to;

    memcpy(sum, v, n * sizeof *v);
    for (size_t r = 1; r < size; r++)
        for (size_t i = 0; i < n; i++)
            sum[i] += v[r * n + i];
}

static void add_floats(void *to, const void *all, size_t n, size_t size)
{
    const float *v = all;
    float *out = to;

    for (size_t i = 0; i < n; i++) {
        double sum = (double)v[i];
        for (size_t r = 1; r < size; r++)
            sum += (double)v[r * n + i];
        out[i] = (float)sum;
    }
}

static void largest(void *to, const void *all, size_t n, size_t size)
{
    const double *v = all;
    double *most = to;

    memcpy(most, v, n * sizeof *v);
    for (size_t r = 1; r < size; r++)
        for (size_t i = 0; i < n; i++)
            if (isnan(v[r * n + i]) || v[r * n + i] > most[i])
                most[i] = v[r * n + i];
}

/* One stretch of n elements of `unit` bytes; a, b: room for the stretch rounded up to whole pieces. */
static silr_status reduce_stretch(char *v, size_t n, size_t unit, fold f, char *a, char *b,
                                  silr_error *err)
{
    const size_t size = (size_t)silr_dist.size, piece = (n + size - 1) / size;
    silr_status st;

    SILR_ASSERT(a && b && v); /* room is agreed on before */
    memcpy(a, v, n * unit);
    memset(a + n * unit, 0, (piece * size - n) * unit);
    st = silr_dist_check(silr_dist.plugin->all_to_all(a, b, piece * unit), err);
    if (st != SILR_OK)
        return st;
    f(a, b, piece, size);
    st = silr_dist_check(silr_dist.plugin->all_gather(a, b, piece * unit), err);
    if (st == SILR_OK)
        memcpy(v, b, n * unit);
    return st;
}

static silr_status reduce(void *v, size_t n, size_t unit, fold f, silr_error *err)
{
    const size_t size = (size_t)silr_dist.size, most = silr_dist.piece / unit;
    const size_t stretch = n < most ? n : most;
    silr_status st;
    char *a, *b;

    if (size == 1 || n == 0)
        return SILR_OK;
    a = silr_alloc(stretch + size, unit);
    b = silr_alloc(stretch + size, unit);
    st = silr_dist_agree(a && b ? SILR_OK : silr_fail_memory(err), err);
    for (size_t at = 0; st == SILR_OK && at < n; at += stretch)
        st = reduce_stretch((char *)v + at * unit, n - at < stretch ? n - at : stretch, unit, f, a, b, err);
    silr_free(a);
    silr_free(b);
    return st;
}

silr_status silr_dist_sum(double *v, size_t n, silr_error *err)
{
    return reduce(v, n, sizeof *v, add_doubles, err);
}

silr_status silr_dist_sum_floats(float *v, size_t n, silr_error *err)
{
    return reduce(v, n, sizeof *v, add_floats, err);
}

silr_status silr_dist_max(double *v, size_t n, silr_error *err)
{
    return reduce(v, n, sizeof *v, largest, err);
}

/* --- bytes ----------------------------------------------------------------------------------------- */

silr_status silr_dist_broadcast(void *p, size_t n, silr_error *err)
{
    silr_status st = SILR_OK;

    for (size_t at = 0; silr_dist.size > 1 && st == SILR_OK && at < n; at += silr_dist.piece) {
        const size_t len = n - at < silr_dist.piece ? n - at : silr_dist.piece;
        st = silr_dist_check(silr_dist.plugin->broadcast((char *)p + at, len), err);
    }
    return st;
}

silr_status silr_dist_send(int to, const void *p, size_t n, silr_error *err)
{
    silr_status st = SILR_OK;

    for (size_t at = 0; st == SILR_OK && at < n; at += silr_dist.piece) {
        const size_t len = n - at < silr_dist.piece ? n - at : silr_dist.piece;
        st = silr_dist_check(silr_dist.plugin->send(to, (const char *)p + at, len), err);
    }
    return st;
}

silr_status silr_dist_receive(int from, void *p, size_t n, silr_error *err)
{
    silr_status st = SILR_OK;

    for (size_t at = 0; st == SILR_OK && at < n; at += silr_dist.piece) {
        const size_t len = n - at < silr_dist.piece ? n - at : silr_dist.piece;
        st = silr_dist_check(silr_dist.plugin->receive(from, (char *)p + at, len), err);
    }
    return st;
}

silr_status silr_dist_barrier(silr_error *err)
{
    return silr_dist.size == 1 ? SILR_OK : silr_dist_check(silr_dist.plugin->barrier(), err);
}

/* Makes room for n bytes more and counts them as there; NULL: no memory, b->failed is set. */
static char *room(silr_buf *b, size_t n)
{
    const size_t len = b->len;
    size_t need;

    if (b->failed || !silr_add(len, n, &need) || !silr_add(need, 1, &need) ||
        !silr_grow(&b->data, &b->cap, need, 1)) {
        b->failed = true;
        return NULL;
    }
    b->len = len + n;
    b->data[b->len] = '\0';
    return b->data + len;
}

/* How many bytes each rank has, known to all; yours. Ranks that have no memory end it for all. */
static silr_status lengths(uint64_t **out, size_t n, silr_error *err)
{
    const uint64_t mine = n;
    uint64_t *all = silr_alloc((size_t)silr_dist.size, sizeof *all);
    silr_status st = silr_dist_agree(all ? SILR_OK : silr_fail_memory(err), err);

    *out = NULL;
    if (st == SILR_OK)
        st = silr_dist_check(silr_dist.plugin->all_gather(&mine, all, sizeof mine), err);
    if (st == SILR_OK) {
        *out = all;
        all = NULL;
    }
    silr_free(all);
    return st;
}

static silr_status gather_alone(const void *mine, size_t n, silr_buf *part, silr_error *err)
{
    silr_buf_add(part, mine, n);
    return part->failed ? silr_fail_memory(err) : SILR_OK;
}

/* Rank 0 makes room for all before it lets anybody send. */
static silr_status gather_to_first(const void *mine, size_t n, const uint64_t *length, silr_buf *part,
                                   silr_error *err)
{
    const int size = silr_dist.size, rank = silr_dist.rank;
    silr_status st = SILR_OK;

    for (int r = 0; rank == 0 && st == SILR_OK && r < size; r++)
        if (!room(&part[r], (size_t)length[r]))
            st = silr_fail_memory(err);
    if ((st = silr_dist_agree(st, err)) != SILR_OK)
        return st;
    if (rank != 0)
        return silr_dist_send(0, mine, n, err);
    if (n > 0)
        memcpy(part[0].data + part[0].len - n, mine, n);
    for (int r = 1; st == SILR_OK && r < size; r++)
        st = silr_dist_receive(r, part[r].data + part[r].len - length[r], (size_t)length[r], err);
    return st;
}

silr_status silr_dist_gather(const void *mine, size_t n, silr_buf *part, silr_error *err)
{
    uint64_t *length = NULL;
    silr_status st;

    if (silr_dist.size == 1)
        return gather_alone(mine, n, part, err);
    if ((st = lengths(&length, n, err)) == SILR_OK)
        st = gather_to_first(mine, n, length, part, err);
    silr_free(length);
    return st;
}

silr_status silr_dist_gather_all(const void *mine, size_t n, silr_buf *part, silr_error *err)
{
    uint64_t *length = NULL;
    silr_status st;

    if (silr_dist.size == 1)
        return gather_alone(mine, n, part, err);
    if ((st = lengths(&length, n, err)) != SILR_OK ||
        (st = gather_to_first(mine, n, length, part, err)) != SILR_OK)
        goto done;
    for (int r = 0; silr_dist.rank != 0 && r < silr_dist.size; r++)
        if (!room(&part[r], (size_t)length[r]))
            st = silr_fail_memory(err);
    st = silr_dist_agree(st, err);
    for (int r = 0; st == SILR_OK && r < silr_dist.size; r++)
        st = silr_dist_broadcast(part[r].data + part[r].len - length[r], (size_t)length[r], err);
done:
    silr_free(length);
    return st;
}

silr_status silr_dist_scatter(const silr_buf *part, silr_buf *mine, silr_error *err)
{
    const int size = silr_dist.size;
    silr_status st = SILR_OK;
    uint64_t length = 0;
    char *p = NULL;

    for (int r = 0; silr_dist.rank == 0 && r < size; r++)
        if (part[r].failed)
            st = silr_fail_memory(err);
    if ((st = silr_dist_agree(st, err)) != SILR_OK)
        return st;
    for (int r = 1; silr_dist.rank == 0 && st == SILR_OK && r < size; r++) {
        length = part[r].len;
        st = silr_dist_send(r, &length, sizeof length, err);
    }
    if (silr_dist.rank != 0)
        st = silr_dist_receive(0, &length, sizeof length, err);
    else
        length = part[0].len;
    if (st == SILR_OK && mine && !(p = room(mine, (size_t)length)))
        st = silr_fail_memory(err);
    if (silr_dist.broken || (st = silr_dist_agree(st, err)) != SILR_OK)
        return st;
    if (silr_dist.rank != 0)
        return silr_dist_receive(0, p, (size_t)length, err);
    if (p && length > 0)
        memcpy(p, part[0].data, (size_t)length);
    for (int r = 1; st == SILR_OK && r < size; r++)
        st = silr_dist_send(r, part[r].data, part[r].len, err);
    return st;
}

/* --- agreement --------------------------------------------------------------------------------------- */

/* Whose failure counts: the lowest rank's, an interruption only where there is nothing else. -1: none. */
static int first_failure(const int32_t *status)
{
    int found = -1;

    for (int r = silr_dist.size; r-- > 0;)
        if (status[r] != SILR_OK && (status[r] != SILR_ECANCEL || found < 0 || status[found] == SILR_ECANCEL))
            found = r;
    return found;
}

/* The failing rank's sentence, by way of rank 0, to everybody. */
static silr_status tell(int speaker, silr_status st, silr_error *err)
{
    silr_error said = {0};
    silr_status sent = SILR_OK;

    if (speaker == silr_dist.rank && err)
        said = *err;
    if (speaker > 0 && silr_dist.rank == speaker)
        sent = silr_dist_send(0, said.text, sizeof said.text, err);
    else if (speaker > 0 && silr_dist.rank == 0)
        sent = silr_dist_receive(speaker, said.text, sizeof said.text, err);
    if (sent == SILR_OK)
        sent = silr_dist_broadcast(said.text, sizeof said.text, err);
    if (sent != SILR_OK)
        return sent;
    said.text[sizeof said.text - 1] = '\0';
    if (!err)
        return st;
    silr_fail(err, st, "%s", said.text[0] ? said.text : "it failed without a word");
    if (speaker > 0)
        silr_error_prefix(err, "rank %d", speaker);
    return st;
}

silr_status silr_dist_agree(silr_status mine, silr_error *err)
{
    enum { SMALL = 256 }; /* ranks that fit without memory: agreeing on its lack must not need any */
    int32_t some[SMALL], own = mine, *all = some;
    int speaker;
    silr_status st;

    if (silr_dist.size == 1)
        return mine;
    if (silr_dist.size > SMALL && !(all = silr_alloc((size_t)silr_dist.size, sizeof *all)))
        return silr_dist_check("no memory is left to speak to them", err);
    st = silr_dist_check(silr_dist.plugin->all_gather(&own, all, sizeof own), err);
    if (st == SILR_OK && (speaker = first_failure(all)) >= 0)
        st = tell(speaker, (silr_status)all[speaker], err);
    if (all != some)
        silr_free(all);
    return st;
}
