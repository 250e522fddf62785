/* regex.c - the patterns of a tokenizer.json, under PCRE2 with limits.
 *
 * The patterns are written for Oniguruma. Where its classes differ from PCRE2's they are spelled
 * out
 * (\s is White_Space, to the letter; \w has marks, circled letters, fractions and raised digits);
 * all else is left as it is. Beyond a limit a match is an error, not a hang: the JIT has a limit of
 * steps and a small stack, and what it gives up the interpreter tries once more within its own
 * limits. */
#define PCRE2_CODE_UNIT_WIDTH 8
#include "tokenizer/inside.h"
#include <pcre2.h>
#include <string.h>

enum {
    STEPS = 1000000,      /* one match: backtracking points */
    HEAP_KIB = 64 * 1024, /* the interpreter's memory */
    STACK_MIN = 32 * 1024,
    STACK_MAX = 1024 * 1024, /* the JIT's */
    LONGEST = 100000,        /* bytes of a pattern */
};
#define SPACES                                                                                     \
    "\\t-\\r "                                                                                     \
    "\\x{85}\\x{a0}\\x{1680}\\x{2000}-\\x{200a}\\x{2028}\\x{2029}\\x{202f}\\x{205f}\\x{3000}"
#define WORDS                                                                                      \
    "\\p{L}\\p{M}\\p{Nd}\\p{Nl}\\p{Pc}\\x{b2}\\x{b3}\\x{b9}\\x{bc}-\\x{be}\\x{24b6}-\\x{24e9}\\x{" \
    "1f130}-\\x{1f149}"                                                                            \
    "\\x{1f150}-\\x{1f169}\\x{1f170}-\\x{1f189}"

struct silr_tok_regex {
    pcre2_code *code;
    bool jit;
    char *where;
};
struct silr_tok_matcher {
    pcre2_general_context *memory;
    pcre2_match_data *data;
    pcre2_match_context *limits;
    pcre2_jit_stack *stack;
};

static void *take_memory(PCRE2_SIZE n, void *unused)
{
    (void)unused;
    return silr_malloc(n);
}
static void give_memory(void *p, void *unused)
{
    (void)unused;
    silr_free(p);
}

/* What a class of Oniguruma is in PCRE2; NULL: the same. */
static const char *spelled_out(char c, bool in_class)
{
    switch (c) {
    case 's':
        return in_class ? SPACES : "[" SPACES "]";
    case 'w':
        return in_class ? WORDS : "[" WORDS "]";
    case 'S':
        return in_class ? NULL : "[^" SPACES "]";
    case 'W':
        return in_class ? NULL : "[^" WORDS "]";
    case 'h': /* a hexadecimal digit there, a space here */
        return in_class ? "0-9a-fA-F" : "[0-9a-fA-F]";
    default:
        return NULL;
    }
}

static void translate(silr_buf *out, const char *p, size_t len)
{
    bool in_class = false;

    for (size_t i = 0; i < len; i++) {
        const char *as = p[i] == '\\' && i + 1 < len ? spelled_out(p[i + 1], in_class) : NULL;
        if (as) {
            silr_buf_puts(out, as);
            i++;
        } else if (p[i] == '\\' && i + 1 < len) {
            silr_buf_add(out, p + i++, 2);
        } else {
            if (p[i] == '[' && !in_class) {
                in_class = true;
                silr_buf_putc(out, '[');
                if (i + 1 < len && p[i + 1] == '^')
                    silr_buf_putc(out, p[++i]);
                if (i + 1 < len && p[i + 1] == ']') { /* a bracket that is meant */
                    silr_buf_puts(out, "\\]");
                    i++;
                }
                continue;
            }
            if (p[i] == ']')
                in_class = false;
            silr_buf_putc(out, p[i]);
        }
    }
}

static silr_status bad_pattern(int code, const char *where, size_t offset, silr_error *err)
{
    PCRE2_UCHAR why[160];

    if (code == PCRE2_ERROR_NOMEMORY || code == PCRE2_ERROR_HEAP_FAILED)
        return silr_fail_memory(err);
    if (pcre2_get_error_message(code, why, sizeof why) < 0)
        memcpy(why, "not a pattern", sizeof "not a pattern");
    return silr_fail(err, SILR_EINPUT, "%s: a pattern that cannot be used, at character %zu: %s",
                     where, offset, (char *)why);
}

silr_status silr_tok_regex_new(silr_tok_regex **out, const char *pattern, size_t len,
                               const char *where, silr_error *err)
{
    const uint32_t options = PCRE2_UTF | PCRE2_UCP | PCRE2_NEVER_BACKSLASH_C;
    pcre2_general_context *memory = pcre2_general_context_create(take_memory, give_memory, NULL);
    pcre2_compile_context *how = memory ? pcre2_compile_context_create(memory) : NULL;
    silr_tok_regex *r = silr_calloc(1, sizeof *r);
    silr_buf b = {0};
    int code = 0;
    size_t offset = 0;
    silr_status st = SILR_OK;

    *out = NULL;
    if (len > LONGEST) {
        st = silr_fail(err, SILR_EINPUT, "%s: a pattern of %zu bytes; %d are the most", where, len,
                       LONGEST);
        goto done;
    }
    translate(&b, pattern, len);
    if (!how || !r || b.failed || !(r->where = silr_strdup(where))) {
        st = silr_fail_memory(err);
        goto done;
    }
    r->code =
        pcre2_compile((PCRE2_SPTR)(b.data ? b.data : ""), b.len, options, &code, &offset, how);
    if (!r->code) {
        st = bad_pattern(code, where, offset, err);
        goto done;
    }
    r->jit = pcre2_jit_compile(r->code, PCRE2_JIT_COMPLETE) == 0;
    *out = r;
    r = NULL;
done:
    silr_tok_regex_free(r);
    silr_buf_clear(&b);
    pcre2_compile_context_free(how);
    pcre2_general_context_free(memory);
    return st;
}

void silr_tok_regex_free(silr_tok_regex *r)
{
    if (!r)
        return;
    pcre2_code_free(r->code);
    silr_free(r->where);
    silr_free(r);
}

static silr_tok_matcher *matcher_new(void)
{
    silr_tok_matcher *m = silr_calloc(1, sizeof *m);

    if (!m || !(m->memory = pcre2_general_context_create(take_memory, give_memory, NULL)))
        goto failed;
    m->data = pcre2_match_data_create(1, m->memory);
    m->limits = pcre2_match_context_create(m->memory);
    m->stack = pcre2_jit_stack_create(STACK_MIN, STACK_MAX, m->memory); /* NULL: a smaller one */
    if (!m->data || !m->limits)
        goto failed;
    pcre2_set_match_limit(m->limits, STEPS);
    pcre2_set_depth_limit(m->limits, STEPS);
    pcre2_set_heap_limit(m->limits, HEAP_KIB);
    if (m->stack)
        pcre2_jit_stack_assign(m->limits, NULL, m->stack);
    return m;
failed:
    silr_tok_matcher_free(m);
    return NULL;
}

void silr_tok_matcher_free(silr_tok_matcher *m)
{
    if (!m)
        return;
    pcre2_match_data_free(m->data);
    pcre2_match_context_free(m->limits);
    pcre2_jit_stack_free(m->stack);
    pcre2_general_context_free(m->memory);
    silr_free(m);
}

silr_status silr_tok_regex_find(const silr_tok_regex *r, silr_tok_matcher **m, const char *s,
                                size_t len, size_t at, size_t *from, size_t *to, silr_error *err)
{
    int rc = PCRE2_ERROR_JIT_STACKLIMIT;
    const PCRE2_SIZE *found;

    *from = *to = len + 1;
    if (!*m && !(*m = matcher_new()))
        return silr_fail_memory(err);
    if (r->jit)
        rc = pcre2_match(r->code, (PCRE2_SPTR)s, len, at, PCRE2_NO_UTF_CHECK, (*m)->data,
                         (*m)->limits);
    if (rc == PCRE2_ERROR_JIT_STACKLIMIT)
        rc = pcre2_match(r->code, (PCRE2_SPTR)s, len, at, PCRE2_NO_UTF_CHECK | PCRE2_NO_JIT,
                         (*m)->data, (*m)->limits);
    if (rc == PCRE2_ERROR_NOMATCH)
        return SILR_OK;
    if (rc == PCRE2_ERROR_NOMEMORY)
        return silr_fail_memory(err);
    if (rc < 0)
        return silr_fail(err, SILR_EINPUT,
                         "%s: a pattern takes too long on a text of %zu bytes (PCRE2 says %d)",
                         r->where, len, rc);
    found = pcre2_get_ovector_pointer((*m)->data);
    *from = found[0]; /* \K can set it anywhere */
    *to = found[1] < found[0] ? found[0] : found[1];
    if (*from < at)
        *from = at;
    if (*to < *from)
        *to = *from;
    return SILR_OK;
}
