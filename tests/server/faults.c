/* faults.c - whose turn it is to be spoilt, and how.
 *
 * Attempt a of a body is struck by a kind when chance(body, a, kind) < rate: it depends on nothing
 * else, so a test that sends the same bodies sees the same faults in any order of arrival, and a
 * body that was struck once is not struck for ever, unless the rate is 1. Of several kinds, the
 * first in the order of fault_names strikes. */
#include "server.h"
#include "base/hash.h"
#include "base/mem.h"
#include <string.h>
#include <zlib.h>

enum { HUGE_BYTES = 10 << 20 };

double faults_chance(uint64_t hash, uint64_t attempt, uint64_t salt)
{
    const uint64_t of[3] = {hash, attempt, salt};

    return (double)(silr_hash64(of, sizeof of, 0) >> 11) * 0x1p-53;
}

enum fault faults_choose(uint64_t hash, uint64_t attempt)
{
    for (enum fault f = 0; f < FAULTS; f++)
        if (opt.fault[f] > 0 && faults_chance(hash, attempt, 0xfa000 + f) < opt.fault[f])
            return f;
    return FAULTS;
}

bool faults_need_answer(enum fault f)
{
    switch (f) {
    case FAULT_RESET_BODY:
    case FAULT_TRUNCATED_JSON:
    case FAULT_TRICKLE:
    case FAULT_DUPLICATE:
    case FAULT_GZIP:
    case FAULT_CHUNKED:
    case FAULT_INVALID_UTF8:
    case FAULT_WRONG_TYPE:
        return true;
    default:
        return false;
    }
}

/* --- instead of an answer --------------------------------------------------------------- */

static void too_many(struct answer *a, enum fault f, uint64_t hash, uint64_t attempt)
{
    if (f == FAULT_429_QUOTA) {
        answer_error(
            a, 429, "insufficient_quota", NULL, "insufficient_quota",
            "You exceeded your current quota, please check your plan and billing details.");
        return;
    }
    answer_error(a, 429, "requests", NULL, "rate_limit_exceeded",
                 "Rate limit reached for requests. Please try again in 20ms.");
    if (f == FAULT_429)
        answer_header(a, "Retry-After", "%d",
                      faults_chance(hash, attempt, 0x7265747279) < .5 ? 0 : 1);
}

static void failure(struct answer *a, enum fault f)
{
    switch (f) {
    case FAULT_500:
        answer_error(a, 500, "server_error", NULL, NULL,
                     "The server had an error while processing your request. Sorry about that!");
        return;
    case FAULT_503: /* from something in front of the server */
        answer_text(a, 503, "text/html",
                    "<html>\r\n<head><title>503 Service Temporarily Unavailable</title></head>\r\n"
                    "<body>\r\n<center><h1>503 Service Temporarily Unavailable</h1></center>\r\n"
                    "<hr><center>nginx</center>\r\n</body>\r\n</html>\r\n");
        return;
    case FAULT_408:
        answer_error(a, 408, "timeout", NULL, NULL, "Request timed out.");
        return;
    case FAULT_400:
        answer_error(a, 400, "invalid_request_error", "messages", "invalid_value",
                     "Invalid 'messages[0].content': this text cannot be processed.");
        return;
    case FAULT_401_SOMETIMES:
        answer_error(a, 401, "invalid_request_error", NULL, "invalid_api_key",
                     "Incorrect API key provided.");
        return;
    default: /* a portal that wants one to log in */
        answer_text(a, 200, "text/html; charset=utf-8",
                    "<!DOCTYPE html><html><head><title>Sign in</title></head><body>"
                    "<p>{\"choices\": []} is not what you will find here.</p></body></html>");
    }
}

/* JSON that is whole, but not a reply. */
static void wrong_json(struct answer *a, uint64_t hash, uint64_t attempt)
{
    static const char *const shapes[] = {
        "[]",
        "\"ok\"",
        "null",
        "17",
        "{}",
        "{\"choices\":3}",
        "{\"choices\":null}",
        "{\"choices\":[null]}",
        "{\"choices\":[[]]}",
        "{\"choices\":[{\"index\":0,\"message\":\"positive\",\"finish_reason\":\"stop\"}]}",
        "{\"choices\":[{\"index\":0,\"message\":{\"role\":\"assistant\",\"content\":42},"
        "\"finish_reason\":\"stop\"}]}",
        "{\"choices\":[{\"index\":0,\"message\":{\"role\":\"assistant\"},\"finish_reason\":"
        "\"stop\"}]}",
        "{\"choices\":[{\"index\":\"0\",\"message\":{\"role\":\"assistant\",\"content\":[{}]},"
        "\"logprobs\":{\"content\":7},\"finish_reason\":9}]}",
        "{\"error\":\"no\"}",
    };
    size_t n = sizeof shapes / sizeof *shapes;

    answer_json(a, 200);
    silr_buf_puts(&a->body,
                  shapes[(size_t)(faults_chance(hash, attempt, 0x7368617065) * (double)n)]);
}

static void huge(struct answer *a)
{
    static char piece[1 << 16];

    memset(piece, 'x', sizeof piece);
    answer_json(a, 200);
    silr_buf_puts(&a->body,
                  "{\"id\":\"chatcmpl-huge\",\"object\":\"chat.completion\",\"created\":1735689600,"
                  "\"model\":\"m\",\"choices\":[{\"index\":0,\"message\":{\"role\":\"assistant\","
                  "\"content\":\"");
    for (size_t n = 0; n < HUGE_BYTES; n += sizeof piece)
        silr_buf_add(&a->body, piece, sizeof piece);
    silr_buf_puts(&a->body, "\"},\"logprobs\":null,\"finish_reason\":\"stop\"}]}");
}

/* --- a valid answer, spoilt ------------------------------------------------------------- */

static void gzip(struct answer *a)
{
    z_stream z = {0};
    size_t most;
    char *out;

    must(deflateInit2(&z, Z_BEST_SPEED, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY) == Z_OK ? a
                                                                                            : NULL);
    most = deflateBound(&z, (uLong)a->body.len);
    out = must(silr_malloc(most));
    z.next_in = (Bytef *)a->body.data;
    z.avail_in = (uInt)a->body.len;
    z.next_out = (Bytef *)out;
    z.avail_out = (uInt)most;
    must(deflate(&z, Z_FINISH) == Z_STREAM_END ? a : NULL);
    silr_buf_reset(&a->body);
    silr_buf_add(&a->body, out, z.total_out);
    deflateEnd(&z);
    silr_free(out);
    answer_header(a, "Content-Encoding", "gzip");
}

/* Puts two bytes that are no UTF-8 at the beginning of the first content. */
static void break_utf8(struct answer *a)
{
    static const char before[] = "\"content\":\"", bad[] = "\xff\xc3\x28";
    silr_buf b = {0};
    const char *at = strstr(a->body.data, before);
    size_t n = at ? (size_t)(at - a->body.data) + sizeof before - 1 : a->body.len / 2;

    silr_buf_add(&b, a->body.data, n);
    silr_buf_add(&b, bad, sizeof bad - 1);
    silr_buf_add(&b, a->body.data + n, a->body.len - n);
    silr_buf_clear(&a->body);
    a->body = b;
}

static void spoil(enum fault f, struct answer *a, uint64_t hash, uint64_t attempt)
{
    switch (f) {
    case FAULT_RESET_BODY:
        a->how = faults_chance(hash, attempt, 0x68616c66) < .5 ? HALF_CLOSE : HALF_RESET;
        break;
    case FAULT_TRUNCATED_JSON:
        a->body.len /= 2;
        break;
    case FAULT_TRICKLE:
        a->how = TRICKLE;
        break;
    case FAULT_DUPLICATE:
        a->how = TWICE;
        return;
    case FAULT_GZIP:
        gzip(a);
        return;
    case FAULT_CHUNKED:
        a->how = CHUNKED;
        return;
    case FAULT_INVALID_UTF8:
        break_utf8(a);
        break;
    default:
        a->type = "text/html";
    }
    a->valid = false;
}

void faults_apply(enum fault f, struct answer *a, uint64_t hash, uint64_t attempt)
{
    switch (f) {
    case FAULT_429:
    case FAULT_429_BARE:
    case FAULT_429_QUOTA:
        too_many(a, f, hash, attempt);
        break;
    case FAULT_RESET:
        a->how = RESET;
        break;
    case FAULT_NEVER:
        a->how = NEVER;
        break;
    case FAULT_WRONG_JSON:
        wrong_json(a, hash, attempt);
        break;
    case FAULT_EMPTY_CHOICES:
        answer_json(a, 200);
        silr_buf_puts(
            &a->body,
            "{\"id\":\"chatcmpl-0\",\"object\":\"chat.completion\",\"created\":1735689600,"
            "\"model\":\"m\",\"choices\":[],\"usage\":{\"prompt_tokens\":1,"
            "\"completion_tokens\":0,\"total_tokens\":1}}");
        break;
    case FAULT_HUGE:
        huge(a);
        break;
    case FAULT_REDIRECT:
        answer_json(a, 307);
        answer_header(a, "Location", "%s", opt.redirect_to);
        break;
    default:
        if (faults_need_answer(f))
            spoil(f, a, hash, attempt);
        else
            failure(a, f);
    }
    must_be_whole(&a->body);
}
