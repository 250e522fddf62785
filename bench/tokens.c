/* tokens.c - ids of many strings, for bench/tokens.py to compare with the peers'; and how fast.
 *
 *     bench_tokens MODEL [frame] [trusted] [time SECONDS] [decode | talk] < strings > ids
 *
 * Strings come and lists of ids go as u32 count, then bytes or u32s; with decode, lists come and
 * strings go. With time, all of it is encoded again and again for so long: seconds of loading,
 * bytes and seconds of encoding go to stdout instead. With talk, a string is a conversation: one
 * byte (1: an answer is begun), then for each turn its role, u32 length, text. */
#include "tokenizer/tokenizer.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

typedef struct {
    char *bytes;
    size_t len, n, cap;
    struct piece {
        size_t at;
        uint32_t len;
    } * piece;
} strings;

static void die(const char *why)
{
    fprintf(stderr, "bench_tokens: %s\n", why);
    exit(1);
}

static double cpu(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void read_all(strings *s, size_t unit)
{
    size_t cap = 0, got;

    do {
        if (!silr_grow(&s->bytes, &cap, s->len + (1 << 20), 1))
            die("no memory");
        s->len += got = fread(s->bytes + s->len, 1, 1 << 20, stdin);
    } while (got > 0);
    for (size_t at = 0; at + 4 <= s->len;) {
        uint32_t len;
        memcpy(&len, s->bytes + at, 4);
        if (len * unit > s->len - at - 4 ||
            !silr_grow(&s->piece, &s->cap, s->n + 1, sizeof *s->piece))
            die("broken input");
        s->piece[s->n++] = (struct piece){at + 4, len};
        at += 4 + len * unit;
    }
}

static void encode_all(const silr_tokenizer *t, const strings *s, const silr_encode_opts *o,
                       bool write)
{
    silr_tokens ids = {0};
    silr_error err;

    for (size_t i = 0; i < s->n; i++) {
        ids.n = 0;
        if (silr_tokenizer_encode(t, s->bytes + s->piece[i].at, s->piece[i].len, o, &ids, &err) !=
            SILR_OK)
            die(err.text);
        if (write) {
            uint32_t n = (uint32_t)ids.n;
            fwrite(&n, 4, 1, stdout);
            fwrite(ids.id, 4, n, stdout);
        }
    }
    silr_tokens_clear(&ids);
}

static void decode_all(const silr_tokenizer *t, const strings *s)
{
    silr_buf b = {0};
    silr_error err;

    for (size_t i = 0; i < s->n; i++) {
        uint32_t *ids = silr_alloc(s->piece[i].len, 4), n;
        if (!ids)
            die("no memory");
        memcpy(ids, s->bytes + s->piece[i].at, s->piece[i].len * (size_t)4);
        silr_buf_reset(&b);
        if (silr_tokenizer_decode(t, ids, s->piece[i].len, &b, &err) != SILR_OK)
            die(err.text);
        n = (uint32_t)b.len;
        fwrite(&n, 4, 1, stdout);
        fwrite(b.data, 1, n, stdout);
        silr_free(ids);
    }
    silr_buf_clear(&b);
}

static void talk_all(const silr_tokenizer *t, const strings *s)
{
    silr_turn turn[16];
    silr_tokens ids = {0};
    silr_error err;

    for (size_t i = 0; i < s->n; i++) {
        const char *p = s->bytes + s->piece[i].at, *end = p + s->piece[i].len;
        bool open = *p++ == 1;
        uint32_t len, n = 0;
        for (; p < end && n < 16; p += len) {
            memcpy(&len, p + 1, 4);
            turn[n++] = (silr_turn){(silr_role)*p, p + 5, len};
            p += 5;
        }
        ids.n = 0;
        if (silr_tokenizer_talk_encode(t, silr_tokenizer_talk(t), turn, 0, n, open, &ids, &err) !=
            SILR_OK)
            die(err.text);
        n = (uint32_t)ids.n;
        fwrite(&n, 4, 1, stdout);
        fwrite(ids.id, 4, n, stdout);
    }
    silr_tokens_clear(&ids);
}

int main(int argc, char **argv)
{
    silr_encode_opts o = {0};
    double seconds = 0, loaded, begin;
    bool decode = false, talk = false;
    size_t rounds = 0, bytes = 0;
    strings s = {0};
    silr_tokenizer *t;
    silr_error err;

    if (argc < 2)
        die("which model?");
    for (int i = 2; i < argc; i++) {
        o.frame = o.frame || strcmp(argv[i], "frame") == 0;
        o.trusted = o.trusted || strcmp(argv[i], "trusted") == 0;
        decode = decode || strcmp(argv[i], "decode") == 0;
        talk = talk || strcmp(argv[i], "talk") == 0;
        if (strcmp(argv[i], "time") == 0 && i + 1 < argc)
            seconds = atof(argv[++i]);
    }
    begin = cpu();
    if (silr_tokenizer_open(&t, argv[1], &err) != SILR_OK)
        die(err.text);
    loaded = cpu() - begin;
    read_all(&s, decode ? 4 : 1);
    if (decode)
        decode_all(t, &s);
    else if (talk)
        talk_all(t, &s);
    else if (seconds <= 0)
        encode_all(t, &s, &o, true);
    else {
        for (size_t i = 0; i < s.n; i++)
            bytes += s.piece[i].len;
        encode_all(t, &s, &o, false);
        for (begin = cpu(); cpu() - begin < seconds; rounds++)
            encode_all(t, &s, &o, false);
        printf("%.4f %.0f %.4f\n", loaded, (double)bytes * (double)rounds, cpu() - begin);
    }
    silr_tokenizer_free(t);
    silr_free(s.bytes);
    silr_free(s.piece);
    return 0;
}
