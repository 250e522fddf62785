/* chat.c - annotator.descriptions, examples, parameters and prices: the lists of a conversation with
 * a language model, read, checked and printed. */
#include "task/inside.h"
#include <math.h>
#include <string.h>

enum { MAX_EXAMPLES = 200, MAX_PRICES = 200, MAX_JSON_DEPTH = 6 };

/* --- reading -------------------------------------------------------------------------------------
 */

static silr_status read_descriptions(task_box *b, const node *v, silr_error *err)
{
    silr_chat_settings *c = &b->task.annotator.chat;
    silr_status st;
    int label;

    if (v->kind != NODE_MAP && !silr_node_null(v))
        return silr_task_fail(b, v, err, "annotator.descriptions is %s, not a map such as {%s: "
                              "\"what it means\"}", silr_node_kind(v),
                              b->task.n_classes ? b->task.classes[0] : "class");
    c->description = silr_arena_alloc(&b->arena, (b->task.n_classes + 1) * sizeof *c->description);
    if (!c->description)
        return silr_fail_memory(err);
    for (size_t k = 0; k <= b->task.n_classes; k++)
        c->description[k] = NULL;
    for (size_t i = 0; i < v->n; i++) {
        const node *x = v->item[i];
        if ((st = silr_task_read_class(b, &label, v->key[i], err)) != SILR_OK)
            return st;
        if (x->kind != NODE_SCALAR || silr_node_null(x) || x->len == 0)
            return silr_task_fail(b, x, err, "the description of \"%.80s\" is %s, not text",
                                  v->key[i]->text, silr_node_kind(x));
        if (!(c->description[label] = silr_arena_strndup(&b->arena, x->text, x->len)))
            return silr_fail_memory(err);
    }
    return SILR_OK;
}

static silr_status read_example(task_box *b, silr_example *e, const node *v, silr_error *err)
{
    const node *text = NULL, *label = NULL;

    for (size_t i = 0; v->kind == NODE_MAP && i < v->n; i++) {
        if (strcmp(v->key[i]->text, "text") == 0)
            text = v->item[i];
        else if (strcmp(v->key[i]->text, "label") == 0)
            label = v->item[i];
        else
            return silr_task_fail(b, v->key[i], err,
                                  "unknown key \"%s\" in an example; known are text, label",
                                  v->key[i]->text);
    }
    if (!text || !label || text->kind != NODE_SCALAR || text->len == 0)
        return silr_task_fail(b, v, err, "an example is a map {text: ..., label: %s}",
                              b->task.n_classes ? b->task.classes[0] : "class");
    if (!(e->text = silr_arena_strndup(&b->arena, text->text, text->len)))
        return silr_fail_memory(err);
    return silr_task_read_class(b, &e->label, label, err);
}

/* A list of examples, or how many to draw from the labelled sample. */
static silr_status read_examples(task_box *b, const node *v, silr_error *err)
{
    silr_chat_settings *c = &b->task.annotator.chat;
    int64_t count = 0;
    silr_status st;

    c->n_examples = 0;
    c->draw_examples = 0;
    if (silr_node_null(v))
        return SILR_OK;
    if (v->kind == NODE_SCALAR && v->plain && silr_parse_i64(v->text, &count) && count >= 0 &&
        count <= MAX_EXAMPLES) {
        c->draw_examples = count;
        return SILR_OK;
    }
    if (v->kind != NODE_LIST || v->n > MAX_EXAMPLES)
        return silr_task_fail(b, v, err, "annotator.examples is a list of {text: ..., label: ...}, "
                              "or how many to draw from the labelled sample, up to %d", MAX_EXAMPLES);
    if (!(c->example = silr_arena_alloc(&b->arena, (v->n + 1) * sizeof *c->example)))
        return silr_fail_memory(err);
    for (size_t i = 0; i < v->n; i++)
        if ((st = read_example(b, &c->example[i], v->item[i], err)) != SILR_OK)
            return st;
    c->n_examples = v->n;
    return SILR_OK;
}

/* A node as JSON: what is unquoted and a number, true, false or null stays that. */
static silr_status node_json(task_box *b, const node *v, silr_buf *out, int depth, silr_error *err)
{
    silr_status st = SILR_OK;
    double number;

    if (depth > MAX_JSON_DEPTH)
        return silr_task_fail(b, v, err, "annotator.parameters is nested too deeply");
    if (v->kind == NODE_SCALAR) {
        bool word = v->plain && (strcmp(v->text, "true") == 0 || strcmp(v->text, "false") == 0);
        if (silr_node_null(v))
            silr_buf_puts(out, "null");
        else if (word)
            silr_buf_puts(out, v->text);
        else if (v->plain && silr_parse_double(v->text, &number) &&
                 strspn(v->text, "+-.0123456789eE") == v->len)
            silr_task_number(out, number);
        else
            silr_buf_json(out, v->text, v->len);
        return SILR_OK;
    }
    silr_buf_putc(out, v->kind == NODE_LIST ? '[' : '{');
    for (size_t i = 0; i < v->n && st == SILR_OK; i++) {
        silr_buf_puts(out, i ? ", " : "");
        if (v->kind == NODE_MAP) {
            silr_buf_json(out, v->key[i]->text, v->key[i]->len);
            silr_buf_puts(out, ": ");
        }
        st = node_json(b, v->item[i], out, depth + 1, err);
    }
    silr_buf_putc(out, v->kind == NODE_LIST ? ']' : '}');
    return st;
}

/* Members of the request that silr sets itself, by settings of their own. */
static const char *const reserved[] = {
    "model", "messages", "stream", "n", "logprobs", "top_logprobs", "temperature", "max_tokens",
    "max_completion_tokens", "response_format", "seed", "functions", "tools"};

static silr_status read_parameters(task_box *b, const node *v, silr_error *err)
{
    silr_buf text = {0};
    silr_status st = SILR_OK;

    b->task.annotator.chat.parameters = NULL;
    if (silr_node_null(v))
        return SILR_OK;
    if (v->kind != NODE_MAP)
        return silr_task_fail(b, v, err, "annotator.parameters is %s, not a map such as "
                              "{reasoning_effort: low}", silr_node_kind(v));
    for (size_t i = 0; i < v->n; i++)
        for (size_t r = 0; r < sizeof reserved / sizeof *reserved; r++)
            if (strcmp(v->key[i]->text, reserved[r]) == 0)
                return silr_task_fail(b, v->key[i], err,
                                      "annotator.parameters: \"%s\" is set by silr itself; see "
                                      "the other settings of annotator", reserved[r]);
    if (v->n == 0)
        return SILR_OK;
    st = node_json(b, v, &text, 0, err);
    if (st == SILR_OK && text.failed)
        st = silr_fail_memory(err);
    if (st == SILR_OK &&
        !(b->task.annotator.chat.parameters = silr_arena_strndup(&b->arena, text.data, text.len)))
        st = silr_fail_memory(err);
    silr_buf_clear(&text);
    return st;
}

static silr_status read_price(task_box *b, silr_price *p, const node *v, silr_error *err)
{
    static const char *const keys[] = {"input", "cached_input", "output"};
    double *to[] = {&p->input, &p->cached_input, &p->output};

    p->input = p->output = 0;
    p->cached_input = NAN;
    for (size_t i = 0; v->kind == NODE_MAP && i < v->n; i++) {
        const node *x = v->item[i];
        size_t k = 0;
        while (k < 3 && strcmp(v->key[i]->text, keys[k]) != 0)
            k++;
        if (k == 3)
            return silr_task_fail(b, v->key[i], err, "unknown key \"%s\" in a price; known are "
                                  "input, cached_input, output", v->key[i]->text);
        if (x->kind != NODE_SCALAR || !x->plain || !silr_parse_double(x->text, to[k]) ||
            !(*to[k] >= 0) || *to[k] > 1e9)
            return silr_task_fail(b, x, err, "a price is a number of 0 or more, for a million tokens");
    }
    if (v->kind != NODE_MAP || v->n == 0)
        return silr_task_fail(b, v, err, "a price is a map such as {input: 0.15, output: 0.6}, for a "
                              "million tokens");
    return SILR_OK;
}

static silr_status read_prices(task_box *b, const node *v, silr_error *err)
{
    silr_chat_settings *c = &b->task.annotator.chat;
    silr_status st;

    if ((v->kind != NODE_MAP && !silr_node_null(v)) || v->n > MAX_PRICES)
        return silr_task_fail(b, v, err, "annotator.prices is a map from models to prices, such as "
                              "{gpt-4o-mini: {input: 0.15, output: 0.6}}, for a million tokens");
    if (!(c->price = silr_arena_alloc(&b->arena, (v->n + 1) * sizeof *c->price)))
        return silr_fail_memory(err);
    for (size_t i = 0; i < v->n; i++) {
        if ((st = read_price(b, &c->price[i], v->item[i], err)) != SILR_OK)
            return st;
        if (!(c->price[i].model = silr_arena_strndup(&b->arena, v->key[i]->text, v->key[i]->len)))
            return silr_fail_memory(err);
    }
    c->n_prices = v->n;
    return SILR_OK;
}

silr_status silr_task_read_chat_list(task_box *b, list_id id, const node *v, silr_error *err)
{
    switch (id) {
    case LIST_DESCRIPTIONS:
        return read_descriptions(b, v, err);
    case LIST_EXAMPLES:
        return read_examples(b, v, err);
    case LIST_PARAMETERS:
        return read_parameters(b, v, err);
    case LIST_PRICES:
        return read_prices(b, v, err);
    default:
        return SILR_EBUG;
    }
}

/* --- checking ------------------------------------------------------------------------------------
 */

static silr_status check_url(task_box *b, const char *url, silr_error *err)
{
    node at = silr_task_place(b, "annotator.url");
    bool web = strncmp(url, "http://", 7) == 0 || strncmp(url, "https://", 8) == 0;
    const char *host = web ? strstr(url, "//") + 2 : url;
    size_t len = strcspn(host, "/?#");

    if (!web || len == 0)
        return silr_task_fail(b, &at, err, "annotator.url is \"%.200s\": it must begin with http:// or "
                              "https://, as in http://localhost:8080/v1", url);
    if (memchr(host, '@', len))
        return silr_task_fail(b, &at, err, "annotator.url holds a user or a key: keys come from the "
                              "environment only (annotator.key_env)");
    for (const char *p = url; *p; p++)
        if ((unsigned char)*p <= ' ')
            return silr_task_fail(b, &at, err, "annotator.url holds a space or a control character");
    return SILR_OK;
}

/* What chat and local have in common. */
static silr_status check_prompt(task_box *b, silr_error *err)
{
    const silr_chat_settings *c = &b->task.annotator.chat;
    node at = silr_task_place(b, "annotator.answers");

    if (c->answers == SILR_ANSWERS_TRUE_FALSE && b->task.n_classes != 2)
        return silr_task_fail(b, &at, err, "annotator.answers: true-false tells two classes apart, and "
                              "there are %zu: use names", b->task.n_classes);
    at = silr_task_place(b, "annotator.prompt");
    if (c->prompt_template && !strstr(c->prompt_template, "{text}"))
        return silr_task_fail(b, &at, err, "annotator.prompt has no {text}: the model would not see "
                              "what to label");
    return SILR_OK;
}

/* A model in process computes how likely each class is: there is nothing to draw or to format. */
static silr_status check_local(task_box *b, silr_error *err)
{
    const silr_chat_settings *c = &b->task.annotator.chat;
    node at = silr_task_place(b, "annotator.samples");

    if (c->samples > 1)
        return silr_task_fail(b, &at, err, "annotator.samples is for chat: a local model's answer is "
                              "computed, not drawn, and comes with its probability");
    at = silr_task_place(b, "annotator.batch");
    if (c->batch)
        return silr_task_fail(b, &at, err, "annotator.batch is for chat: a local model has no Batch API");
    at = silr_task_place(b, "annotator.format");
    if (c->format == SILR_REPLY_JSON)
        return silr_task_fail(b, &at, err, "annotator.format: json is for chat: of a local model the "
                              "probabilities of the classes' names are computed; use text");
    return check_prompt(b, err);
}

silr_status silr_task_check_chat(task_box *b, silr_error *err)
{
    const silr_chat_settings *c = &b->task.annotator.chat;
    node at = silr_task_place(b, "annotator.kind");
    silr_status st;
    const bool local = b->task.annotator.kind == SILR_ANNOTATOR_LOCAL;

    if (!silr_task_prompts(&b->task))
        return SILR_OK;
    if (!c->model)
        return silr_task_fail(b, &at, err, local ? "annotator.model is missing: name the model's file or "
                              "folder, as in {kind: local, model: SmolLM2-135M-Instruct.Q4_1.gguf}"
                              : "annotator.model is missing: name the model, as in "
                              "{kind: chat, model: gpt-4o-mini}");
    if (local)
        return check_local(b, err);
    if (c->url && (st = check_url(b, c->url, err)) != SILR_OK)
        return st;
    if ((st = check_prompt(b, err)) != SILR_OK)
        return st;
    at = silr_task_place(b, "annotator.samples");
    if (c->samples > 1 && !(c->temperature > 0))
        return silr_task_fail(b, &at, err, "annotator.samples is %lld at temperature 0, which gives the "
                              "same answer each time: set annotator.temperature, 0.7 for example",
                              (long long)c->samples);
    at = silr_task_place(b, "annotator.calibrate");
    if (c->calibrate == SILR_CALIBRATE_CONTEXTUAL && (!c->logprobs || c->samples > 1))
        return silr_task_fail(b, &at, err, "annotator.calibrate: contextual works on log-probabilities: "
                              "it needs annotator.logprobs: true and annotator.samples: 1");
    at = silr_task_place(b, "annotator.max_cost");
    if (c->max_cost > 0) {
        bool priced = false;
        for (size_t i = 0; i < c->n_prices; i++)
            priced = priced || strcmp(c->price[i].model, c->model) == 0;
        if (!priced)
            return silr_task_fail(b, &at, err, "annotator.max_cost needs the price of \"%.100s\" in "
                                  "annotator.prices, as in {%.100s: {input: 0.15, output: 0.6}}",
                                  c->model, c->model);
    }
    return SILR_OK;
}

/* --- printing ------------------------------------------------------------------------------------
 */

static void print_text(silr_buf *out, const char *s)
{
    silr_buf_json(out, s, strlen(s));
}

static void print_descriptions(const struct silr_task *t, silr_buf *out)
{
    const char *comma = "";

    silr_buf_putc(out, '{');
    for (size_t k = 0; t->annotator.chat.description && k < t->n_classes; k++) {
        if (!t->annotator.chat.description[k])
            continue;
        silr_buf_puts(out, comma);
        print_text(out, t->classes[k]);
        silr_buf_puts(out, ": ");
        print_text(out, t->annotator.chat.description[k]);
        comma = ", ";
    }
    silr_buf_putc(out, '}');
}

static void print_examples(const struct silr_task *t, silr_buf *out)
{
    const silr_chat_settings *c = &t->annotator.chat;

    if (c->draw_examples > 0) {
        silr_buf_printf(out, "%lld", (long long)c->draw_examples);
        return;
    }
    silr_buf_putc(out, '[');
    for (size_t i = 0; i < c->n_examples; i++) {
        silr_buf_puts(out, i ? ", {\"text\": " : "{\"text\": ");
        print_text(out, c->example[i].text);
        silr_buf_puts(out, ", \"label\": ");
        print_text(out, t->classes[c->example[i].label]);
        silr_buf_putc(out, '}');
    }
    silr_buf_putc(out, ']');
}

static void print_prices(const silr_chat_settings *c, silr_buf *out)
{
    silr_buf_putc(out, '{');
    for (size_t i = 0; i < c->n_prices; i++) {
        const silr_price *p = &c->price[i];
        silr_buf_puts(out, i ? ", " : "");
        print_text(out, p->model);
        silr_buf_puts(out, ": {\"input\": ");
        silr_task_number(out, p->input);
        if (!isnan(p->cached_input)) {
            silr_buf_puts(out, ", \"cached_input\": ");
            silr_task_number(out, p->cached_input);
        }
        silr_buf_puts(out, ", \"output\": ");
        silr_task_number(out, p->output);
        silr_buf_putc(out, '}');
    }
    silr_buf_putc(out, '}');
}

void silr_task_print_chat_list(const struct silr_task *t, list_id id, silr_buf *out, bool for_hash)
{
    switch (id) {
    case LIST_DESCRIPTIONS:
        print_descriptions(t, out);
        break;
    case LIST_EXAMPLES:
        print_examples(t, out);
        break;
    case LIST_PARAMETERS:
        silr_buf_puts(out, t->annotator.chat.parameters ? t->annotator.chat.parameters : "{}");
        break;
    case LIST_PRICES:
        print_prices(&t->annotator.chat, out);
        break;
    case LIST_MEMBERS:
        silr_buf_putc(out, '[');
        for (size_t i = 0; i < t->annotator.n_members; i++) {
            silr_buf_puts(out, i ? ", " : "");
            silr_task_print_annotator(t->annotator.member[i], out, for_hash);
        }
        silr_buf_putc(out, ']');
        break;
    default:
        break;
    }
}
