/* doctor.c - silr doctor: what this build and machine can do, and what a task or a model is.
 *
 * One list of facts, printed as a table or as JSON: section, name, value. */
#include "annotate/annotator.h"
#include "chat/chat.h"
#include "classify/classifier.h"
#include "cli/cli.h"
#include "dist/dist.h"
#include "engine/engine.h"
#include "formats/formats.h"
#include "http/http.h"
#include "hub/hub.h"
#include "priors/priors.h"
#include "run/run.h"
#include <jansson.h>
#include <libfyaml.h>
#include <omp.h>
#include <openssl/crypto.h>
#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>
#include <sqlite3.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <sys/sysinfo.h>
#include <utf8proc.h>
#include <xxhash.h>
#include <zlib.h>
#include <zstd.h>

typedef struct {
    bool json;
    char section[160]; /* the one that is open */
    silr_buf out;
} sheet;

static void open_section(sheet *s, const char *section)
{
    bool first = s->out.len == 0;

    if (strcmp(s->section, section) == 0)
        return;
    if (s->json) {
        silr_buf_puts(&s->out, first ? "{" : "},\n ");
        silr_buf_json(&s->out, section, strlen(section));
        silr_buf_puts(&s->out, ": {");
    } else {
        silr_buf_printf(&s->out, "%s%s\n", first ? "" : "\n", section);
    }
    snprintf(s->section, sizeof s->section, "%s", section);
}

static void put_name(sheet *s, const char *section, const char *name)
{
    open_section(s, section);
    if (!s->json) {
        silr_buf_printf(&s->out, "  %-22s ", name);
        return;
    }
    if (s->out.data[s->out.len - 1] != '{')
        silr_buf_puts(&s->out, ", ");
    silr_buf_json(&s->out, name, strlen(name));
    silr_buf_puts(&s->out, ": ");
}

__attribute__((format(printf, 4, 5))) static void text(sheet *s, const char *section,
                                                       const char *name, const char *fmt, ...)
{
    char value[1200];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(value, sizeof value, fmt, ap);
    va_end(ap);
    put_name(s, section, name);
    if (s->json)
        silr_buf_json(&s->out, value, strlen(value));
    else
        silr_buf_printf(&s->out, "%s\n", value);
}

static void count(sheet *s, const char *section, const char *name, uint64_t value)
{
    put_name(s, section, name);
    silr_buf_printf(&s->out, s->json ? "%llu" : "%llu\n", (unsigned long long)value);
}

static void cpu_features(sheet *s)
{
    char features[200] = "";
#if defined(__x86_64__)
    const struct {
        const char *name;
        int has;
    } feature[] = {{"sse4.2", __builtin_cpu_supports("sse4.2")},
                   {"avx", __builtin_cpu_supports("avx")},
                   {"avx2", __builtin_cpu_supports("avx2")},
                   {"fma", __builtin_cpu_supports("fma")},
                   {"avx512f", __builtin_cpu_supports("avx512f")},
                   {"avx512bw", __builtin_cpu_supports("avx512bw")}};
    for (size_t i = 0; i < sizeof feature / sizeof *feature; i++)
        if (feature[i].has) {
            size_t n = strlen(features);
            snprintf(features + n, sizeof features - n, "%s%s", n ? " " : "", feature[i].name);
        }
#endif
    text(s, "machine", "cpu", "%s", features[0] ? features : "no vector extensions known to silr");
}

/* Whether this program can be one of several ranks, and if it is one now, of how many. */
static void ranks(sheet *s)
{
    char *about = NULL;
    const bool possible = silr_dist_possible(&about);

    text(s, "machine", "mpi", "%s%s", possible ? "" : "none: ", about ? about : "out of memory");
    count(s, "machine", "ranks", (uint64_t)silr_dist_size());
    silr_free(about);
}

static void machine(sheet *s, const cli_args *a)
{
    struct sysinfo info;
    struct statvfs disk;

    text(s, "silr", "version", "%s", silr_version());
    text(s, "silr", "commit", "%s", silr_commit());
    text(s, "silr", "annotators", "column, rules, chat, several");
    text(s, "silr", "classifiers", "ngram");
    cpu_features(s);
    count(s, "machine", "threads", (uint64_t)silr_threads(a->threads > 0 ? (int)a->threads : 0));
    ranks(s);
    if (sysinfo(&info) == 0) {
        count(s, "machine", "memory MiB", (uint64_t)info.totalram * info.mem_unit >> 20);
        count(s, "machine", "free memory MiB",
              ((uint64_t)info.freeram + info.bufferram) * info.mem_unit >> 20);
    }
    if (statvfs(a->n_args ? a->args[0] : ".", &disk) == 0)
        count(s, "machine", "free disk MiB", (uint64_t)disk.f_bavail * disk.f_frsize >> 20);
}

static void libraries(sheet *s)
{
    char pcre[64] = "";
    unsigned xxh = XXH_versionNumber();

    pcre2_config(PCRE2_CONFIG_VERSION, pcre);
    text(s, "libraries", "sqlite", "%s", sqlite3_libversion());
    text(s, "libraries", "jansson", "%s", jansson_version_str());
    text(s, "libraries", "libfyaml", "%s", fy_library_version());
    text(s, "libraries", "pcre2", "%s", pcre);
    text(s, "libraries", "utf8proc", "%s", utf8proc_version());
    text(s, "libraries", "xxhash", "%u.%u.%u", xxh / 10000, xxh / 100 % 100, xxh % 100);
    text(s, "libraries", "zlib", "%s", zlibVersion());
    text(s, "libraries", "zstd", "%s", ZSTD_versionString());
    text(s, "libraries", "libcurl", "%s", silr_http_library());
    text(s, "libraries", "libcrypto", "%s", OpenSSL_version(OPENSSL_VERSION));
    text(s, "libraries", "openmp", "%d", _OPENMP);
}

/* How many texts of each class the truth names, through the door that the report uses. */
static void truth(sheet *s, const silr_session *w)
{
    size_t n = silr_corpus_size(w->corpus), K = w->task->n_classes;
    silr_scores *scores = silr_calloc(1, sizeof *scores);
    uint32_t *docs = silr_alloc(n, sizeof *docs);
    int *first = silr_calloc(n, sizeof *first); /* any prediction: only the rows' sums are read */

    for (size_t i = 0; docs && i < n; i++)
        docs[i] = (uint32_t)i;
    if (scores && docs && first) {
        silr_scores_make(scores, w->corpus, (int)K, docs, n, first, true);
        count(s, "truth", "texts with a label", scores->n);
        for (size_t k = 0; k < K; k++)
            count(s, "truth", w->task->classes[k], scores->confusion[k * K]);
    }
    silr_free(scores);
    silr_free(docs);
    silr_free(first);
}

static void corpus(sheet *s, const silr_session *w)
{
    const silr_corpus_stats *c = silr_corpus_info(w->corpus);
    size_t split[3] = {0};

    for (size_t i = 0; i < silr_corpus_size(w->corpus); i++)
        split[silr_corpus_split(w->corpus, i)]++;
    count(s, "corpus", "rows", c->rows);
    count(s, "corpus", "bad rows", c->bad_rows);
    count(s, "corpus", "texts", c->documents);
    count(s, "corpus", "empty texts", c->empty);
    count(s, "corpus", "duplicates", c->duplicates);
    count(s, "corpus", "bad UTF-8", c->bad_utf8);
    count(s, "corpus", "with NUL bytes", c->nul);
    count(s, "corpus", "cut", c->cut);
    count(s, "corpus", "missing ids", c->missing_ids);
    count(s, "corpus", "duplicate ids", c->duplicate_ids);
    for (int i = 0; i < 3; i++)
        count(s, "corpus", silr_split_name((silr_split)i), split[i]);
    truth(s, w);
}

static void annotator(sheet *s, const silr_session *w)
{
    size_t n = silr_corpus_size(w->corpus), none = 0;
    size_t *labels = silr_calloc(w->task->n_classes, sizeof *labels);

    for (size_t i = 0; i < n; i++)
        if (w->initial[i] == SILR_NO_LABEL)
            none++;
        else if (labels)
            labels[w->initial[i]]++;
    text(s, "annotator", "coverage", "%.1f %%", n ? 100.0 * (double)(n - none) / (double)n : 0.0);
    count(s, "annotator", "no label", none);
    for (size_t k = 0; labels && k < w->task->n_classes; k++)
        count(s, "annotator", w->task->classes[k], labels[k]);
    silr_free(labels);
}

/* A language model is asked one small question; the texts are not. */
static silr_status endpoint(sheet *s, const silr_task *task, silr_error *err)
{
    const silr_chat_settings *c = &task->annotator.chat;
    const char *name = c->key_env ? c->key_env : "OPENAI_API_KEY", *key = getenv(name);
    char section[160];
    silr_probe probe;
    silr_status st;

    snprintf(section, sizeof section, "endpoint of %.120s", silr_task_annotator(task));
    text(s, section, "url", "%s", silr_chat_url(task));
    text(s, section, "model", "%s", c->model);
    text(s, section, "key", c->auth == SILR_AUTH_NONE ? "none is sent" : key && *key ? "in %s" : "%s is not set",
         name);
    st = silr_chat_probe(&probe, task, err);
    if (st == SILR_OK) {
        text(s, section, "server", "%s", probe.server);
        text(s, section, "answer", "%s", probe.answer);
        text(s, section, "took", "%.2f s, %lld requests to find out", probe.seconds,
             (long long)probe.requests);
    } else {
        text(s, section, "problem", "%s", err->text);
    }
    return st;
}

static void model_fact(void *ctx, const char *name, const char *value, uint64_t number)
{
    if (value)
        text(ctx, "model", name, "%s", value);
    else
        count(ctx, "model", name, number);
}

/* What a model will take, known before it is loaded. */
static void memory_needed(sheet *s, const silr_weights *w, silr_weights_kept keep)
{
    const silr_engine_opts opts = {.keep = keep};
    size_t weights, work;

    if (silr_engine_estimate(w, &opts, 0, &weights, &work, NULL) == SILR_OK)
        text(s, "model", "memory", "%zu MiB for the weights, %zu MiB for the work", weights >> 20,
             (work >> 20) + 1);
}

/* What fine-tuning it will take; task NULL: it is not to be. */
static silr_status training_needed(sheet *s, const silr_weights *w, const silr_task *task, silr_error *err)
{
    size_t training, kept;
    silr_status st;

    if (!task)
        return SILR_OK;
    if ((st = silr_classifier_memory(&training, &kept, task, w, err)) == SILR_OK)
        text(s, "model", "training", "%zu MiB beside the weights; a batch of the longest texts would keep %zu MiB "
             "more, and what does not fit is computed again", training >> 20, (kept >> 20) + 1);
    return st;
}

static silr_status model_sections(sheet *s, const char *path, silr_weights_kept keep, const silr_task *tuned,
                                  silr_error *err)
{
    silr_weights *w = NULL;
    silr_status st = silr_weights_open(&w, path, err);

    text(s, "model", "file", "%s", path);
    if (st == SILR_OK) {
        silr_weights_facts(w, model_fact, s);
        st = silr_weights_intact(w, err);
        if (st == SILR_OK)
            memory_needed(s, w, keep);
        if (st == SILR_OK)
            st = training_needed(s, w, tuned, err);
    }
    text(s, "model check", "problem", "%s", st == SILR_OK ? "none" : err->text);
    silr_weights_free(w);
    return st;
}

/* A model that works in this process: its file is looked at, not loaded. */
static silr_status own_model(sheet *s, const silr_task *task, const char *name, silr_weights_kept keep,
                             bool tuned, silr_error *err)
{
    char *path = NULL;
    silr_status st = silr_hub_find_from(&path, task->dir, name, err);

    if (st == SILR_OK)
        st = model_sections(s, path, keep, tuned ? task : NULL, err);
    else
        text(s, "model", "problem", "%s", err->text);
    silr_free(path);
    return st;
}

static silr_status one_model(sheet *s, const silr_task *task, silr_error *err)
{
    if (task->annotator.kind == SILR_ANNOTATOR_LOCAL)
        return own_model(s, task, task->annotator.chat.model, (silr_weights_kept)task->annotator.weights,
                         false, err);
    return task->annotator.kind == SILR_ANNOTATOR_CHAT ? endpoint(s, task, err) : SILR_OK;
}

static silr_status asked_models(sheet *s, const silr_task *task, silr_error *err)
{
    const silr_task *used = silr_task_in_use(task);
    silr_status st = one_model(s, used, err), one;

    for (size_t i = 0; i < used->annotator.n_members; i++)
        if ((one = one_model(s, used->annotator.member[i], err)) != SILR_OK)
            st = one;
    return st;
}

/* How the classifier's model keeps its weights. */
static silr_weights_kept kept_by(const silr_task *task)
{
    static const silr_weights_kept base[] = {SILR_WEIGHTS_NF4, SILR_WEIGHTS_F32, SILR_WEIGHTS_AS_FILED};

    return task->classifier.kind == SILR_CLASSIFIER_QLORA ? base[task->classifier.base] : SILR_WEIGHTS_AUTO;
}

/* A task that does not load is what doctor is for: the sheet says why, and so does the exit code. */
static silr_status task_sections(sheet *s, const cli_args *a, silr_error *err)
{
    silr_task *task = NULL;
    silr_session w = {0};
    char *dir = NULL;
    silr_status st = cli_task(&task, a, err);

    if (st != SILR_OK)
        goto done;
    text(s, "task", "file", "%s", task->path ? task->path : a->args[0]);
    text(s, "task", "name", "%s", task->name);
    count(s, "task", "classes", task->n_classes);
    if (silr_task_asks(task) ? false : !cli_look_dir(&dir, a, task))
        st = silr_fail_memory(err);
    if (st != SILR_OK || (st = silr_session_open(&w, task, dir, err)) != SILR_OK)
        goto done;
    corpus(s, &w);
    if (task->classifier.kind != SILR_CLASSIFIER_NGRAM &&
        (st = own_model(s, task, task->classifier.model, kept_by(task), task->classifier.kind == SILR_CLASSIFIER_QLORA,
                        err)) != SILR_OK)
        goto done;
    if (silr_task_asks(task)) {
        st = asked_models(s, task, err);
        goto done;
    }
    if ((st = silr_session_annotate(&w, err)) != SILR_OK)
        goto done;
    annotator(s, &w);
    if ((st = silr_session_sample(&w, err)) != SILR_OK)
        goto done;
    count(s, "labelled sample", "texts", w.sample.n);
done:
    if (st != SILR_OK)
        text(s, "task check", "problem", "%s", err->text);
    else
        text(s, "task check", "problem", "none");
    silr_session_close(&w);
    silr_free(dir);
    silr_task_free(task);
    return st;
}

static int doctor(const cli_args *a)
{
    sheet s = {.json = a->json};
    silr_error err = {0};
    silr_status st = SILR_OK;

    cli_signals_start();
    machine(&s, a);
    libraries(&s);
    if (a->n_args > 0)
        st = silr_weights_looks(a->args[0]) ? model_sections(&s, a->args[0], SILR_WEIGHTS_AUTO, NULL, &err)
                                            : task_sections(&s, a, &err);
    if (s.json)
        silr_buf_puts(&s.out, "}}\n");
    cli_terminal_clear();
    if (!s.out.failed)
        fwrite(s.out.data, 1, s.out.len, stdout);
    silr_buf_clear(&s.out);
    return cli_complain(st, &err);
}

const cli_command cli_doctor = {
    .name = "doctor", .operands = "[TASK|MODEL]",
    .summary = "what this build and machine can do; checks a task or a model",
    .examples = {{"silr doctor", "version, processor, memory, libraries"},
                 {"silr doctor task.yaml", "also the task, its corpus and its annotator"},
                 {"silr doctor model.gguf --json", "what a model file or folder is; as JSON"}},
    .options = CLI_OPT_JSON | CLI_OPT_SET, .min_args = 0, .max_args = 1, .run = doctor,
};
