/* task.h - what to label, with what, and how: task.yaml as a checked structure.
 *
 * Every knob stands once, in the table of knobs.c: its path ("refine.margin"), kind, default,
 * range, choices and help. Defaults, checks, --set, `run --show`, --help and docs/reference.md
 * all come from that table. Lists and maps (classes, files, value maps, rules) are read beside
 * it. A task owns its strings; they live until silr_task_free. */
#ifndef SILR_TASK_H
#define SILR_TASK_H

#include "base/base.h"

/* A map from a value found in the data to a class: {"1": positive, "-1": negative}. */
typedef struct {
    size_t n;
    char **value; /* as text; numbers as JSON prints them: 1, -1, 0.5 */
    int *label;   /* class index, or SILR_NO_LABEL for a value that means "abstain" (null in yaml) */
} silr_value_map;

typedef enum { SILR_FORMAT_AUTO, SILR_FORMAT_JSONL, SILR_FORMAT_CSV, SILR_FORMAT_TSV,
               SILR_FORMAT_FASTTEXT, SILR_FORMAT_PLAIN } silr_format;
typedef enum { SILR_LABELLED_COUNT, SILR_LABELLED_FILE, SILR_LABELLED_GIVEN, SILR_LABELLED_ORACLE,
               SILR_LABELLED_NONE } silr_labelled_kind;
typedef enum { SILR_ANNOTATOR_COLUMN, SILR_ANNOTATOR_RULES, SILR_ANNOTATOR_CHAT,
               SILR_ANNOTATOR_LOCAL, SILR_ANNOTATOR_SEVERAL } silr_annotator_kind;
enum { SILR_TALK_PAGE = 1 };
typedef enum { SILR_KEPT_AUTO, SILR_KEPT_F32, SILR_KEPT_AS_FILED } silr_weight_form; /* weights of a model */
typedef enum { SILR_ANSWERS_NAMES, SILR_ANSWERS_TRUE_FALSE } silr_answers;
typedef enum { SILR_REPLY_TEXT, SILR_REPLY_JSON } silr_reply_format;
typedef enum { SILR_AUTH_BEARER, SILR_AUTH_API_KEY, SILR_AUTH_NONE } silr_auth;
typedef enum { SILR_COMBINE_MAJORITY, SILR_COMBINE_DAWID_SKENE, SILR_COMBINE_EACH } silr_combine;
typedef enum { SILR_CALIBRATE_NONE, SILR_CALIBRATE_CONTEXTUAL } silr_calibrate_kind;
typedef enum { SILR_EVIDENCE_LOG_ODDS, SILR_EVIDENCE_LABEL, SILR_EVIDENCE_SETS } silr_evidence_kind;
typedef enum { SILR_CLASSIFIER_NGRAM, SILR_CLASSIFIER_FROZEN, SILR_CLASSIFIER_QLORA } silr_classifier_kind;
typedef enum { SILR_TUNE_LORA, SILR_TUNE_FULL } silr_tune_kind;
typedef enum { SILR_BASE_NF4, SILR_BASE_F32, SILR_BASE_AS_FILED } silr_base_form;
typedef enum { SILR_HEAD_LINEAR, SILR_HEAD_MLP } silr_head_kind;
typedef enum { SILR_POOLING_AUTO, SILR_POOLING_MEAN, SILR_POOLING_CLS,
               SILR_POOLING_LAST } silr_pooling_choice;
typedef enum { SILR_RECIPE_SILR, SILR_RECIPE_PAPER } silr_recipe;
typedef enum { SILR_METRIC_ACCURACY, SILR_METRIC_BALANCED } silr_metric;
typedef enum { SILR_RISK_PN, SILR_RISK_UU, SILR_RISK_RUU } silr_risk_kind; /* pn, uu, robust-uu */
typedef enum { SILR_LOSS_SIGMOID, SILR_LOSS_LOGISTIC } silr_loss_kind;
typedef enum { SILR_GATE_BATCH, SILR_GATE_AVERAGE } silr_gate_kind;
typedef enum { SILR_WEIGHT_TFIDF, SILR_WEIGHT_LOGCOUNT, SILR_WEIGHT_BINARY } silr_term_weight;

typedef struct {
    char *name;    /* for the table of rules; NULL: the pattern itself */
    int label;     /* the class it votes for */
    char *pattern; /* PCRE2, caseless unless it says (?-i) */
    double weight; /* votes a match counts; > 0 */
    int line;      /* in the task file */
} silr_rule;

/* A few-shot example of a prompt. */
typedef struct {
    char *text;
    int label;
} silr_example;

/* What a model costs, in the user's currency a million tokens. */
typedef struct {
    char *model;
    double input, cached_input, output; /* cached_input: NAN: as input */
} silr_price;

/* What a conversation with a language model needs to know; all of it from annotator.*. */
typedef struct {
    char *url;             /* base, as in .../v1; NULL: OPENAI_BASE_URL, else OpenAI's */
    char *model;
    char *key_env;         /* the variable that holds the key */
    silr_auth auth;        /* how the key is sent */
    char *instruction;     /* NULL: silr's own */
    char *prompt_template; /* NULL: silr's own; {instruction} {question} {classes} {examples} {text} */
    char **description;    /* [n_classes], NULL where none */
    size_t n_examples;
    silr_example *example;
    int64_t draw_examples; /* so many from the labelled sample */
    silr_answers answers;
    silr_reply_format format;
    double temperature;
    int64_t max_tokens;    /* of an answer; 0: what the answers need */
    int64_t reasoning_tokens; /* on top, for models that think first */
    bool logprobs;         /* ask for them where the server has them */
    int64_t top_logprobs;
    silr_calibrate_kind calibrate; /* what is taken from the log-probabilities */
    int64_t samples;       /* answers a text; their votes are the label */
    char *parameters;      /* further members of the request, a JSON object; NULL: none */
    int64_t self_refine;   /* rounds in which the model checks its own answer */
    /* what never changes an answer */
    int64_t concurrency, retries;
    double timeout, connect_timeout; /* seconds */
    double max_cost, max_time;       /* 0: no limit */
    int64_t max_requests;
    double max_failed;     /* share of texts without an answer that is tolerated */
    size_t n_prices;
    silr_price *price;
    char *cache;           /* file with answers shared between runs; NULL: none */
    bool batch;            /* through the Batch API */
    int64_t batch_lines;   /* most requests of a batch */
    double batch_poll;     /* longest pause between two looks at one, in seconds */
    double batch_discount; /* what an answer costs, as a share of its price */
} silr_chat_settings;

struct silr_task {
    char *path, *dir;  /* the file, and its folder: relative names start there */
    silr_sha256 hash;  /* of the settings that change results (not of paths of outputs, threads) */
    char *name, *question;
    size_t n_classes;
    char **classes;    /* of two, classes[0] is the positive class */

    struct {
        size_t n_files;
        char **files;          /* as written; globs allowed; "-" is standard input */
        silr_format format;
        char *text;            /* a column, or a template with {column} */
        char *id, *label, *group; /* columns; NULL: none (id NULL: number from 1) */
        silr_value_map label_values;
        double train, validation, test;
        int64_t max_bytes;     /* cut longer texts at a character; 0: never */
        double max_bad;        /* share of bad rows that is tolerated (they go to failed.jsonl) */
    } corpus;

    struct {
        silr_labelled_kind kind;
        int64_t count;
        char *file;      /* CSV or JSONL with id and label */
        double *theta;   /* given: two classes [theta_p, theta_n]; K classes: K*K rows P(true|pseudo) */
        size_t n_theta;
        double *pi;      /* given: two classes [pi]; K classes: K shares; NULL: from theta and rho */
        size_t n_pi;
    } labelled;

    struct {
        silr_annotator_kind kind;
        char *column;
        silr_value_map values;   /* column: value -> class; empty: the class names, or 1/-1, 1/0 */
        size_t n_rules;
        silr_rule *rules;
        char *lexicon;           /* file word<TAB>score; two classes only */
        double lexicon_margin;   /* |sum of scores| at or below it abstains */
        int64_t match_limit;     /* PCRE2 match limit a text and rule */
        char *name;              /* in tables of several; NULL: the model, the column or the kind */
        char *log_odds;          /* column: log P(class 0) - log P(class 1) of the old answer; NULL */
        silr_chat_settings chat;
        int talk;                /* local: how the model's conversations are written; 0: as it says,
                                    SILR_TALK_PAGE: a plain page, then as in tokenizer.h plus 1 */
        silr_weight_form weights;       /* local */
        double margin;           /* local: abstains where the two likeliest classes are so close */
        silr_combine combine;    /* several: how their labels become one */
        char *use;               /* several: this one alone; NULL: all */
        size_t n_members;
        struct silr_task **member; /* several: this task with one of the annotators in its place */
    } annotator;

    struct {
        silr_classifier_kind kind;
        int64_t word_min, word_max, char_min, char_max; /* n of the n-grams; max 0: none of that sort */
        int64_t bits;            /* hash buckets: 2^bits */
        int64_t min_count;       /* n-grams in fewer texts are left out */
        silr_term_weight weight;
        bool lowercase;
        /* frozen */
        char *model;             /* folder or file of the encoder */
        silr_head_kind head;
        int64_t hidden;          /* mlp: hidden units */
        bool ngrams;             /* n-grams beside the vectors */
        silr_pooling_choice pooling;
        int64_t max_tokens;      /* a text is cut here; 0: as the model says */
        char *cache;             /* folder with vectors shared between runs; NULL: the run's own */
        /* qlora: model, pooling and max_tokens too */
        silr_tune_kind tune;
        char *targets;           /* "q, v", "all"; NULL: q, v */
        int64_t rank;
        double alpha, dropout;
        silr_base_form base;     /* how the frozen weights are kept */
        int64_t memory;          /* MiB kept for the backward pass; 0: up to 3.5 GiB */
        double checkpoint;       /* seconds between checkpoints; 0: none */
    } classifier;

    struct {
        silr_recipe recipe;
        silr_metric metric;
        silr_risk_kind risk;
        silr_loss_kind loss;
        silr_gate_kind gate;     /* default by recipe: paper batch, silr average */
        double gate_decay;       /* 0.9 */
        double lambda;           /* -0.001 */
        int64_t iterations;      /* default by recipe: paper 5, silr 3 */
        int64_t epochs;          /* paper, and qlora: 3 */
        int64_t steps;           /* silr: full-batch steps, 150 */
        int64_t batch;           /* paper, and qlora: 16; silr: 0 = everything (large pools: chunks) */
        double learning_rate;    /* 0: the recipe's default */
        double weight_decay;     /* decoupled; paper 0.01 */
        double l2;               /* silr; by kind: ngram 0.0003, frozen 0.01, qlora 0 */
        double clip;             /* qlora: longest gradient; 0: any */
        double warmup;           /* paper 0.03 */
        int64_t folds;           /* silr: 4, qlora 2. 1: no cross-fitting (paper) */
        int64_t label_folds;     /* certificate: 5 */
        double margin;           /* m = 0.6 */
        double labelled_mass;    /* phi = 0.3 */
        bool safe;               /* iterate only if P(D > 0) >= 0.9 */
        double stop_flips;       /* stop early when fewer texts change: share of the pool */
        silr_evidence_kind evidence;  /* what the annotator's answer counts as, where log-odds exist */
        int64_t sets;                 /* of texts, by log-odds, for evidence sets */
    } refine;

    struct {
        int64_t examples;        /* changed texts shown in the report */
    } report;

    int64_t seed;
    int64_t threads; /* 0: all; never changes a result */
    int64_t limit;   /* use the first n documents only; 0: all */
};

/* One knob, as the table says. */
typedef enum { SILR_KNOB_INT, SILR_KNOB_DOUBLE, SILR_KNOB_BOOL, SILR_KNOB_ENUM, SILR_KNOB_STRING } silr_knob_kind;
typedef struct {
    const char *path;        /* "refine.margin" */
    silr_knob_kind kind;
    size_t offset;           /* in struct silr_task */
    const char *fallback;    /* default as text; NULL: none; "recipe": depends on refine.recipe */
    double min, max;         /* inclusive; for INT and DOUBLE */
    const char *const *choices; /* ENUM: NULL-terminated, index is the value */
    const char *help;        /* one sentence */
    bool changes_result;     /* part of the task's hash */
} silr_knob;
const silr_knob *silr_knobs(size_t *n);

/* What silr_task_load takes, with overrides `key=value` applied before the checks that look at
 * the whole (the flags of the command line). */
silr_status silr_task_read(silr_task **out, const char *path, const char *const *sets,
                           size_t n_sets, silr_error *err);
/* From text in memory; `name` is used in errors; relative paths start at dir. For fuzzing. */
silr_status silr_task_parse(silr_task **out, const char *yaml, size_t len, const char *name,
                            const char *dir, const char *const *sets, size_t n_sets,
                            silr_error *err);

/* The value of a knob as text, and where it came from ("flag", "task.yaml:12", "default"). */
bool silr_task_get(const silr_task *task, const char *path, silr_buf *value, const char **origin);
/* The settings that are lists or maps ("classes", "corpus.files", ...), beside the knobs: what
 * silr_task_get gives for them is JSON. */
const char *const *silr_task_lists(size_t *n);
/* The whole task as JSON (for the manifest and `run --show --json`). Reading it back
 * with silr_task_parse gives a task with the same hash. */
void silr_task_to_json(const silr_task *task, silr_buf *out);
/* All knobs as Markdown tables, for docs/reference.md. */
void silr_task_reference(silr_buf *out);

/* What the annotator is called in tables: annotator.name, else its model, column or kind. */
const char *silr_task_annotator(const silr_task *task);
/* Is this one annotator a language model, which is given a prompt (chat, local)? */
bool silr_task_prompts(const silr_task *task);
/* The task that is annotated by: the member that annotator.use names, or the task itself. */
const silr_task *silr_task_in_use(const silr_task *task);
/* Does annotating ask a model? Then it costs money or time, and is not done for a look. */
bool silr_task_asks(const silr_task *task);

/* Index of a class by name, or SILR_NO_LABEL. */
int silr_task_class(const silr_task *task, const char *name, size_t len);
/* A value from the data to a class: through the map if it has entries; else a class name; else,
 * for two classes, 1/true/+1 and -1/0/false. false: not a value that is known (*label untouched).
 * Empty and null values are the caller's business. */
bool silr_task_value(const silr_task *task, const silr_value_map *map, const char *value,
                     int *label);

#endif
