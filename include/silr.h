/* silr.h - turn cheap, noisy labels into accurate ones: the public C API.
 *
 * silr takes texts that a language model, rules or an old column have labelled, and about fifty
 * hand-checked ones, and refines the labels with Self Iterative Label Refinement via Robust
 * Unlabeled Learning (Asano, Kozuno, Baba, NeurIPS 2025, arXiv 2502.12565).
 *
 *     silr_error err;
 *     silr_task *task = NULL;
 *     if (silr_task_load(&task, "task.yaml", &err) != SILR_OK ||
 *         silr_run(task, "run", NULL, &err) != SILR_OK)
 *         fprintf(stderr, "%s\n", err.text);
 *     silr_task_free(task);
 *
 *     silr_model *model = NULL;
 *     silr_prediction p;
 *     if (silr_model_load(&model, "run", &err) == SILR_OK &&
 *         silr_predict(model, "a fine film", 11, &p, NULL, &err) == SILR_OK)
 *         printf("%s %.3f\n", silr_model_class(model, p.label), p.score);
 *     silr_model_free(model);
 *
 * The library never prints, aborts or exits. Strings are UTF-8. Pointers are borrowed unless a
 * comment says otherwise. A loaded model is read-only and may be shared by threads. */
#ifndef SILR_H
#define SILR_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define SILR_API __attribute__((visibility("default")))
#else
#define SILR_API
#endif

/* What a function returns. Each code changes what a caller does. */
typedef enum {
    SILR_OK = 0,
    SILR_EIO = -1,      /* reading or writing failed: disk full, a broken file system */
    SILR_EINPUT = -2,   /* the user's data is at fault: task, corpus, labels, model file */
    SILR_EDOMAIN = -3,  /* the mathematics refuses: the labels carry no signal */
    SILR_ENOMEM = -4,   /* out of memory */
    SILR_EDEVICE = -5,  /* an accelerator failed */
    SILR_EPEER = -6,    /* another process failed: endpoint, authentication, a rank */
    SILR_ELIMIT = -7,   /* a limit that the user set was reached; state is kept */
    SILR_ECANCEL = -8,  /* silr_cancel() was called; state is kept */
    SILR_EBUG = -9      /* our own mistake: please report it */
} silr_status;

/* Why it failed: one sentence fit to be printed. */
typedef struct {
    silr_status status;
    char text[1024];
} silr_error;

SILR_API const char *silr_version(void); /* "0.1.0" */

/* A task: what to label, with what, and how (task.yaml; see docs/reference.md). */
typedef struct silr_task silr_task;

/* Reads and checks a task file. SILR_EINPUT: err names file, line and column.
 * On failure *out is NULL. */
SILR_API silr_status silr_task_load(silr_task **out, const char *path, silr_error *err);
/* Overrides one knob, as `silr run --set key=value`: key "refine.iterations", value "3". */
SILR_API silr_status silr_task_set(silr_task *task, const char *key, const char *value,
                                   silr_error *err);
SILR_API void silr_task_free(silr_task *task); /* NULL is fine */

/* How silr_run goes about it. NULL stands for all zero. */
typedef struct {
    int threads;   /* 0: all that the process may use */
    int force;     /* go on where the labels carry too little signal */
    void *ctx;     /* handed to the callbacks, which run on the calling thread */
    void (*log)(void *ctx, int level, const char *text); /* level 0 warning, 1 information, 2 detail */
    void (*progress)(void *ctx, const char *what, uint64_t done, uint64_t total);
} silr_run_opts;

/* Does all of it: annotate, priors, refine, report; or goes on where an earlier call was stopped.
 * Leaves labels.jsonl, metrics.json, manifest.json, classifier/, report.html and run.db in `out`.
 * SILR_EDOMAIN: refused, the labels tell too little. SILR_ECANCEL: stopped by silr_cancel();
 * calling again goes on. */
SILR_API silr_status silr_run(silr_task *task, const char *out, const silr_run_opts *opts,
                              silr_error *err);
/* Asks a silr_run on any thread to save and return; safe in a signal handler. */
SILR_API void silr_cancel(void);

/* A refined classifier. */
typedef struct silr_model silr_model;
typedef struct {
    int label;     /* the most probable class: 0 .. silr_model_classes() - 1 */
    double score;  /* its calibrated probability */
} silr_prediction;

/* Loads the classifier of a run folder, or of a folder that holds a copy of classifier/. */
SILR_API silr_status silr_model_load(silr_model **out, const char *dir, silr_error *err);
SILR_API void silr_model_free(silr_model *model);
SILR_API int silr_model_classes(const silr_model *model);
SILR_API const char *silr_model_class(const silr_model *model, int k);
/* One text of `len` bytes. probs, when not NULL, receives one probability a class. */
SILR_API silr_status silr_predict(const silr_model *model, const char *text, size_t len,
                                  silr_prediction *out, double *probs, silr_error *err);

#ifdef __cplusplus
}
#endif
#endif
