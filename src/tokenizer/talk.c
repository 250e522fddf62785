/* talk.c - conversations as a model was taught to read them.
 *
 *     chatml    <|im_start|>ROLE\nTEXT<|im_end|>\n                            open:
 * <|im_start|>assistant\n llama2    <s>[INST] <<SYS>>\nSYSTEM\n<</SYS>>\n\nUSER [/INST] ANSWER </s>
 *     llama3    <|start_header_id|>ROLE<|end_header_id|>\n\nTEXT<|eot_id|>
 *     mistral   [INST] SYSTEM\n\nUSER[/INST] ANSWER</s>                       spaces as its version
 * has them gemma     <start_of_turn>user\nSYSTEM\n\nTEXT<end_of_turn>\n            the assistant is
 * "model" phi3      <|ROLE|>\nTEXT<|end|>\n zephyr    <|ROLE|>\nTEXT</s>\n
 *
 * Marks that are tokens are written by their ids; all between two of them is one run of text and is
 * encoded as such, without trust, so that no word in it becomes a special token. A run also ends
 * where a turn does, so that the ids of the turns so far do not depend on those to come. */
#include "tokenizer/inside.h"
#include <string.h>

typedef struct {
    const silr_tokenizer *t;
    silr_talk_style style;
    silr_tokens *out;
    silr_buf run;
    bool skip;               /* these turns' ids are known */
    bool begun, after_text;  /* something was written; and it was text */
    const silr_added *after; /* the mark in front of the run */
    silr_status st;
    silr_error *err;
} talker;

static const silr_added *added_of(const silr_tokenizer *t, uint32_t id)
{
    for (size_t i = 0; i < t->n_added; i++)
        if (t->added[i].id == id)
            return &t->added[i];
    return NULL;
}

static bool is_space(const char *s, size_t *n)
{
    uint32_t c = silr_tok_char(s, n);
    return (silr_tok_class(c) & CHAR_SPACE) || (c >= 0x1c && c <= 0x1f);
}

static size_t spaces_before(const char *s, size_t len)
{
    size_t at = 0, n;
    while (at < len && is_space(s + at, &n))
        at += n;
    return at;
}

static size_t without_spaces_behind(const char *s, size_t len)
{
    size_t n;
    while (len > 0) {
        size_t last = silr_tok_back(s, len);
        if (!is_space(s + last, &n))
            break;
        len = last;
    }
    return len;
}

/* Encodes the run; next: the mark behind it, or NULL. Marks may take the spaces beside them. */
static void flush(talker *k, const silr_added *next)
{
    const char *s = k->run.data;
    size_t len = k->run.len, skip;

    if (k->run.failed && k->st == SILR_OK)
        k->st = silr_fail_memory(k->err);
    if (k->st != SILR_OK || len == 0)
        return;
    skip = k->after && k->after->rstrip ? spaces_before(s, len) : 0;
    s += skip;
    len -= skip;
    if (next && next->lstrip)
        len = without_spaces_behind(s, len);
    if (!k->skip && len > 0)
        k->st = silr_tok_run(k->t, s, len, false, !k->begun, k->after_text, k->out, k->err);
    k->begun = k->after_text = true;
    k->after = NULL;
    silr_buf_reset(&k->run);
}

static void put(talker *k, uint32_t id)
{
    const silr_added *a = added_of(k->t, id);

    flush(k, a);
    if (k->st == SILR_OK && !k->skip)
        k->st = silr_tok_emit(k->out, id, k->err);
    k->begun = true;
    k->after_text = false;
    k->after = a;
}

/* A mark that the vocabulary must have. */
static void mark(talker *k, const char *name)
{
    int64_t id = silr_tokenizer_special(k->t, name);

    if (id >= 0)
        put(k, (uint32_t)id);
    else if (k->st == SILR_OK)
        k->st = silr_fail(k->err, SILR_EINPUT,
                          "%s: the vocabulary lacks %s, which %s conversations need", k->t->name,
                          name, silr_talk_name(k->style.kind));
}

/* A mark that is a token in some vocabularies, and plain text in others. */
static void soft_mark(talker *k, const char *name)
{
    int64_t id = silr_tokenizer_special(k->t, name);

    if (id >= 0)
        put(k, (uint32_t)id);
    else
        silr_buf_puts(&k->run, name);
}

static void end_mark(talker *k)
{
    if (k->t->eos >= 0)
        put(k, (uint32_t)k->t->eos);
    else if (k->st == SILR_OK)
        k->st = silr_fail(k->err, SILR_EINPUT,
                          "%s: the vocabulary lacks an end of text, which %s conversations need",
                          k->t->name, silr_talk_name(k->style.kind));
}

static void say(talker *k, const char *s)
{
    silr_buf_puts(&k->run, s);
}

/* A text, well formed; without the spaces at its ends if asked. */
static void text(talker *k, const silr_turn *turn, bool before, bool behind)
{
    silr_buf clean = {0};
    const char *s = turn->text;
    size_t len = turn->len, skip;

    if (len > 0 && !silr_tok_is_utf8(s, len)) {
        silr_tok_repair(&clean, s, len);
        if (clean.failed)
            k->run.failed = true;
        s = clean.data;
        len = clean.len;
    }
    if (s && len > 0) {
        skip = before ? spaces_before(s, len) : 0;
        s += skip;
        len -= skip;
        if (behind)
            len = without_spaces_behind(s, len);
        silr_buf_add(&k->run, s, len);
    }
    silr_buf_clear(&clean);
}

static const char *role_name(silr_role role)
{
    return role == SILR_ROLE_SYSTEM ? "system" : role == SILR_ROLE_USER ? "user" : "assistant";
}

/* --- the formats ---------------------------------------------------------------------------------
 */

static void chatml(talker *k, const char *role, const silr_turn *turn)
{
    mark(k, "<|im_start|>");
    say(k, role);
    say(k, "\n");
    if (!turn)
        return;
    text(k, turn, false, false);
    mark(k, "<|im_end|>");
    say(k, "\n");
}

static void llama3(talker *k, const char *role, const silr_turn *turn)
{
    mark(k, "<|start_header_id|>");
    say(k, role);
    mark(k, "<|end_header_id|>");
    say(k, "\n\n");
    if (!turn)
        return;
    if (turn->role == SILR_ROLE_SYSTEM && k->style.preamble)
        say(k, k->style.preamble);
    text(k, turn, true, true);
    mark(k, "<|eot_id|>");
}

static void phi3(talker *k, const char *role, const silr_turn *turn)
{
    char name[32];

    if (turn && turn->role == SILR_ROLE_SYSTEM && turn->len == 0)
        return;
    (void)snprintf(name, sizeof name, "<|%s|>", role);
    mark(k, name);
    say(k, "\n");
    if (!turn)
        return;
    text(k, turn, false, false);
    mark(k, "<|end|>");
    say(k, "\n");
}

static void zephyr(talker *k, const char *role, const silr_turn *turn)
{
    char name[32];

    (void)snprintf(name, sizeof name, "<|%s|>", role);
    soft_mark(k, name);
    say(k, "\n");
    if (!turn)
        return;
    text(k, turn, false, false);
    end_mark(k);
    say(k, "\n");
}

/* `inside`: a system text was written, the user's belongs to it. */
static void llama2(talker *k, const silr_turn *turn, bool inside)
{
    if (turn->role != SILR_ROLE_ASSISTANT && !inside) {
        if (k->t->bos >= 0)
            put(k, (uint32_t)k->t->bos);
        soft_mark(k, "[INST]");
        say(k, " ");
    }
    if (turn->role == SILR_ROLE_SYSTEM) {
        say(k, "<<SYS>>\n");
        text(k, turn, false, false);
        say(k, "\n<</SYS>>\n\n");
        return;
    }
    if (turn->role == SILR_ROLE_USER)
        text(k, turn, !inside, true);
    if (turn->role == SILR_ROLE_USER || inside) {
        say(k, " ");
        soft_mark(k, "[/INST]");
    }
    if (turn->role == SILR_ROLE_ASSISTANT) {
        say(k, " ");
        text(k, turn, true, true);
        say(k, " ");
        end_mark(k);
    }
}

static void mistral_open(talker *k)
{
    if (k->style.lead)
        say(k, " ");
    soft_mark(k, "[INST]");
    if (k->style.trail)
        say(k, " ");
}

static void mistral_close(talker *k)
{
    if (k->style.close)
        say(k, " ");
    soft_mark(k, "[/INST]");
}

static void mistral(talker *k, const silr_turn *turn, bool inside)
{
    if (turn->role == SILR_ROLE_SYSTEM && k->style.marked_system) {
        soft_mark(k, "[SYSTEM_PROMPT]");
        if (k->style.trail)
            say(k, " ");
        text(k, turn, false, false);
        soft_mark(k, "[/SYSTEM_PROMPT]");
        return;
    }
    inside = inside && !k->style.marked_system;
    if (turn->role == SILR_ROLE_ASSISTANT) {
        if (inside)
            mistral_close(k);
        if (k->style.answer)
            say(k, " ");
        text(k, turn, k->style.trim, k->style.trim);
        end_mark(k);
        return;
    }
    if (!inside)
        mistral_open(k);
    text(k, turn, false, false);
    if (turn->role == SILR_ROLE_USER)
        mistral_close(k);
    else
        say(k, "\n\n");
}

static void gemma(talker *k, const silr_turn *turn, bool inside)
{
    bool answer = turn->role == SILR_ROLE_ASSISTANT;

    if (inside && answer) {
        mark(k, "<end_of_turn>");
        say(k, "\n");
    }
    if (!inside || answer) {
        mark(k, "<start_of_turn>");
        say(k, answer ? "model\n" : "user\n");
    }
    if (turn->role == SILR_ROLE_SYSTEM) {
        text(k, turn, false, false);
        say(k, "\n\n");
        return;
    }
    text(k, turn, true, true);
    mark(k, "<end_of_turn>");
    say(k, "\n");
}

/* --- all of it
 * ------------------------------------------------------------------------------------- */

static void write_turn(talker *k, const silr_turn *turn, size_t i)
{
    bool inside = i > 0 && turn[i - 1].role == SILR_ROLE_SYSTEM;
    const char *role = role_name(turn[i].role);

    switch (k->style.kind) {
    case SILR_TALK_CHATML:
        chatml(k, role, &turn[i]);
        break;
    case SILR_TALK_LLAMA2:
        llama2(k, &turn[i], inside);
        break;
    case SILR_TALK_LLAMA3:
        llama3(k, role, &turn[i]);
        break;
    case SILR_TALK_MISTRAL:
        mistral(k, &turn[i], inside);
        break;
    case SILR_TALK_GEMMA:
        gemma(k, &turn[i], inside);
        break;
    case SILR_TALK_PHI3:
        phi3(k, role, &turn[i]);
        break;
    case SILR_TALK_ZEPHYR:
        zephyr(k, role, &turn[i]);
        break;
    default:
        if (i > 0)
            say(k, "\n\n");
        text(k, &turn[i], false, false);
    }
    flush(k, NULL);
}

/* What comes before the first turn: BOS, and the system text that nobody gave. */
static void begin(talker *k, bool has_system)
{
    const silr_turn system = {SILR_ROLE_SYSTEM, k->style.system, k->style.system_len};
    const silr_tokenizer *t = k->t;
    bool bos = k->style.kind == SILR_TALK_NONE ? t->n_before > 0 && t->before[0] == (uint32_t)t->bos
                                               : k->style.bos;

    if (bos && t->bos >= 0)
        put(k, (uint32_t)t->bos);
    if (!has_system && k->style.system)
        write_turn(k, &system, 0);
}

static void open_answer(talker *k, const silr_turn *turn, size_t n)
{
    bool inside = n > 0 && turn[n - 1].role == SILR_ROLE_SYSTEM;

    switch (k->style.kind) {
    case SILR_TALK_CHATML:
        chatml(k, "assistant", NULL);
        break;
    case SILR_TALK_LLAMA3:
        llama3(k, "assistant", NULL);
        break;
    case SILR_TALK_PHI3:
        phi3(k, "assistant", NULL);
        break;
    case SILR_TALK_ZEPHYR:
        zephyr(k, "assistant", NULL);
        break;
    case SILR_TALK_GEMMA:
        if (inside) {
            mark(k, "<end_of_turn>");
            say(k, "\n");
        }
        mark(k, "<start_of_turn>");
        say(k, "model\n");
        break;
    case SILR_TALK_LLAMA2:
        if (inside) {
            say(k, " ");
            soft_mark(k, "[/INST]");
        }
        break;
    case SILR_TALK_MISTRAL:
        if (inside && !k->style.marked_system)
            mistral_close(k);
        break;
    default:
        if (n > 0)
            say(k, "\n\n");
    }
    flush(k, NULL);
}

static silr_talk_style style_of(const silr_tokenizer *t, silr_talk talk)
{
    silr_talk_style style = {.kind = talk, .trail = true, .answer = true};

    if (talk == t->talk.kind)
        style = t->talk;
    style.bos = style.bos || talk == SILR_TALK_LLAMA3 || talk == SILR_TALK_MISTRAL ||
                talk == SILR_TALK_GEMMA;
    if (talk == SILR_TALK_LLAMA2) /* which has one in front of every [INST] */
        style.bos = false;
    return style;
}

silr_status silr_tokenizer_talk_encode(const silr_tokenizer *t, silr_talk talk,
                                       const silr_turn *turn, size_t from, size_t n, bool open,
                                       silr_tokens *out, silr_error *err)
{
    talker k = {.t = t, .out = out, .skip = from > 0, .err = err};
    size_t start = out->n;

    if ((unsigned)talk >= SILR_TALK_UNKNOWN)
        return silr_fail(
            err, SILR_EINPUT,
            "%s: silr does not know how this model's conversations are written; name one of "
            "chatml, llama2, llama3, mistral, gemma, phi3, zephyr, none",
            t->name);
    k.style = style_of(t, talk);
    if (n > 0 || open)
        begin(&k, n > 0 && turn[0].role == SILR_ROLE_SYSTEM);
    for (size_t i = 0; i < n && k.st == SILR_OK; i++) {
        k.skip = i < from;
        write_turn(&k, turn, i);
    }
    k.skip = false;
    if (open && k.st == SILR_OK)
        open_answer(&k, turn, n);
    if (k.st != SILR_OK)
        out->n = start;
    silr_buf_clear(&k.run);
    return k.st;
}
