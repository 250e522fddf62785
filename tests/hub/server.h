/* server.h - a hub of our own, in threads of the test: two servers on loopback, of which the first has
 * lists and small files, and sends whoever wants a large one to the second, which is another host to
 * anyone who compares ports.
 *
 *     struct hub h = {.file = files, .n = 3};
 *     hub_start(&h);            h.url is the HF_ENDPOINT
 *     h.fault = HUB_DROP; h.left = 2; h.after = 100000;     the next two large files break there
 *     hub_stop(&h);
 *
 * Allocates past silr's door, so that a test that fails its allocations does not fail the server's. */
#ifndef TEST_HUB_SERVER_H
#define TEST_HUB_SERVER_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

struct hub_file {
    const char *name;
    const char *bytes;
    size_t len;
    bool large;    /* Git LFS: named by SHA-256, lies on the second server */
    char hash[65]; /* hub_start fills it in */
};

enum hub_fault {
    HUB_FINE,
    HUB_DROP,       /* the connection ends after `after` bytes of the body */
    HUB_SHORT,      /* so does the body, and says so: fewer bytes than the file has */
    HUB_LONG,       /* one more */
    HUB_FLIP,       /* one bit is another */
    HUB_OTHER_PART, /* of a range, one that begins elsewhere */
    HUB_STATUS,     /* `status`, Retry-After: `wait` unless < 0, and words with the token in them */
    HUB_PAGE,       /* a page, with status 200 */
    HUB_SILENT,     /* nothing */
    HUB_LOOP        /* the first server's: redirects to where it was asked */
};

struct hub {
    const char *repo;      /* "acme/tiny" where NULL */
    const char *commit;    /* 40 times '5' where NULL */
    struct hub_file *file;
    size_t n;
    bool bare;             /* lists no sizes and hashes */
    bool no_ranges;        /* 200 and all of it, whatever part was asked for */
    const char *list;      /* the answer to the question for the list, as it is */
    const char *etag;      /* what every large file's X-Linked-Etag is */
    const char *to;        /* where large files are, in place of the second server */
    _Atomic int fault, left;   /* left: so many times, at the second server */
    _Atomic int at_hub;        /* the fault is the first server's: the list (1), a file (2) */
    size_t after;
    int status, wait;
    unsigned slow;         /* microseconds between 4 KiB of a large file */

    char url[40], store[40];
    _Atomic int lists, heads, files, larges, ranges; /* requests; ranges: large with a Range */
    _Atomic int hub_tokens, store_tokens;            /* those with Authorization */
    _Atomic size_t sent;                             /* bytes of large files */
    char token[80];                                  /* the last that the first server saw */
    void *daemon[2];
};

bool hub_start(struct hub *h);
void hub_stop(struct hub *h);

#endif
