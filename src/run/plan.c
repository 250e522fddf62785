/* plan.c - what a task's model would be asked, and what that would take; asks nothing. */
#include "run/internal.h"

typedef struct {
    const silr_corpus *corpus;
    uint32_t *docs;
} text_list;

static const char *text_of(void *ctx, size_t i, size_t *len)
{
    const text_list *t = ctx;
    return silr_corpus_text(t->corpus, t->docs[i], len);
}

/* What an earlier call has left, to be looked at: the run's ledger, the cache, or neither. */
static silr_status open_ledger(silr_store **store, silr_ledger **own, silr_ledger **ledger,
                               const silr_task *task, const char *dir, silr_error *err)
{
    char *db = dir ? silr_path_join(dir, "run.db") : NULL, *cache = NULL;
    silr_status st = SILR_OK;

    if (db && silr_file_exists(db)) {
        if ((st = silr_store_open(store, dir, NULL, NULL, err)) == SILR_OK)
            *ledger = silr_store_ledger(*store);
    } else if ((st = silr_ledger_in_memory(own, err)) == SILR_OK) {
        *ledger = *own;
    }
    if (st == SILR_OK && task->annotator.chat.cache) {
        cache = silr_path_join(task->dir, task->annotator.chat.cache);
        if (cache && silr_file_exists(cache))
            st = silr_ledger_share(*ledger, cache, err);
    }
    silr_free(cache);
    silr_free(db);
    return st;
}

/* The prompt as it would be sent, or put before a model in this process. */
static silr_status words_of(silr_prompt **out, const silr_task *task, const silr_shown *shown,
                            silr_error *err)
{
    const silr_example *example = shown->n > 0 ? shown->example : NULL;

    if (task->annotator.kind == SILR_ANNOTATOR_LOCAL && task->annotator.talk == SILR_TALK_PAGE)
        return silr_prompt_page(out, task, example, shown->n, err);
    return silr_prompt_new(out, task, example, shown->n, true, err);
}

silr_status silr_session_plan(const silr_session *s, const silr_task *task, const char *dir,
                              silr_plan *plan, silr_buf *prompt, silr_error *err)
{
    size_t n = silr_corpus_size(s->corpus), len;
    text_list texts = {s->corpus, silr_alloc(n + 1, sizeof *texts.docs)};
    silr_chat_job job = {.ctx = &texts, .text = text_of};
    silr_examples examples = {0};
    silr_shown shown = {0};
    silr_store *store = NULL;
    silr_ledger *own = NULL, *ledger = NULL;
    silr_prompt *words = NULL;
    bool *held = NULL;
    silr_status st = texts.docs ? SILR_OK : silr_fail_memory(err);

    if (st != SILR_OK || (st = silr_examples_draw(&examples, s->task, s->corpus, err)) != SILR_OK ||
        (st = silr_examples_hold(&held, s->corpus, &examples, err)) != SILR_OK ||
        (st = silr_shown_make(&shown, task, s->corpus, &examples, err)) != SILR_OK ||
        (st = open_ledger(&store, &own, &ledger, task, dir, err)) != SILR_OK)
        goto done;
    for (size_t i = 0; i < n; i++)
        if (!silr_corpus_empty(s->corpus, i) && !held[i])
            texts.docs[job.n++] = (uint32_t)i;
    st = silr_chat_plan(plan, task, ledger, shown.n ? shown.example : NULL, shown.n, &job, err);
    if (st == SILR_OK && job.n > 0 && (st = words_of(&words, task, &shown, err)) == SILR_OK) {
        const char *text = silr_corpus_text(s->corpus, texts.docs[0], &len);
        silr_prompt_show(words, text, len, prompt);
    }
done:
    silr_prompt_free(words);
    silr_ledger_free(own);
    silr_store_close(store);
    silr_shown_clear(&shown);
    silr_examples_clear(&examples);
    silr_free(held);
    silr_free(texts.docs);
    return st;
}
