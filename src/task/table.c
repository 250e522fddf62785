/* table.c - every knob of silr, once.
 *
 * Defaults, ranges, checks, --set, `run --show`, --help and docs/reference.md all come from here:
 * to add a knob, add its member to struct silr_task and its row below. "recipe" as a default means
 * that check.c chooses, by refine.recipe or by classifier.kind. The last column says whether the knob is part of the
 * task's hash: what cannot change a result is not. */
#include "task/inside.h"

static const char *const formats[] = {"auto", "jsonl", "csv", "tsv", "fasttext", "plain", NULL};
static const char *const annotators[] = {"column", "rules", "chat", "local", "several", NULL};
static const char *const talks[] = {"auto", "none", "chatml", "llama2", "llama3", "mistral", "gemma",
                                    "phi3", "zephyr", NULL};
static const char *const kept[] = {"auto", "f32", "as-filed", NULL};
static const char *const answers[] = {"names", "true-false", NULL};
static const char *const replies[] = {"text", "json", NULL};
static const char *const auths[] = {"bearer", "api-key", "none", NULL};
static const char *const combines[] = {"majority", "dawid-skene", "each", NULL};
static const char *const calibrates[] = {"none", "contextual", NULL};
static const char *const evidences[] = {"log-odds", "label", "sets", NULL};
static const char *const classifiers[] = {"ngram", "frozen", "qlora", NULL};
static const char *const tunes[] = {"lora", "full", NULL};
static const char *const bases[] = {"nf4", "f32", "as-filed", NULL};
static const char *const heads[] = {"linear", "mlp", NULL};
static const char *const poolings[] = {"auto", "mean", "cls", "last", NULL};
static const char *const weights[] = {"tfidf", "logcount", "binary", NULL};
static const char *const recipes[] = {"silr", "paper", NULL};
static const char *const metrics[] = {"accuracy", "balanced", NULL};
static const char *const risks[] = {"pn", "uu", "robust-uu", NULL};
static const char *const losses[] = {"sigmoid", "logistic", NULL};
static const char *const gates[] = {"batch", "average", NULL};

#define AT(member) offsetof(struct silr_task, member)
#define TEXT(path, member, help, hash)                                                             \
    {                                                                                              \
        path, SILR_KNOB_STRING, AT(member), NULL, 0, 0, NULL, help, hash                           \
    }
#define CHOICE(path, member, fallback, choices, help)                                              \
    {                                                                                              \
        path, SILR_KNOB_ENUM, AT(member), fallback, 0, 0, choices, help, true                      \
    }
#define WHOLE(path, member, fallback, min, max, help, hash)                                        \
    {                                                                                              \
        path, SILR_KNOB_INT, AT(member), fallback, min, max, NULL, help, hash                      \
    }
#define REAL(path, member, fallback, min, max, help)                                               \
    {                                                                                              \
        path, SILR_KNOB_DOUBLE, AT(member), fallback, min, max, NULL, help, true                   \
    }
/* Of what never changes a result: how long, how many at once, how much. */
#define LIMIT(path, member, fallback, min, max, help)                                              \
    {                                                                                              \
        path, SILR_KNOB_DOUBLE, AT(member), fallback, min, max, NULL, help, false                  \
    }
#define SETTING(path, member, fallback, choices, help)                                             \
    {                                                                                              \
        path, SILR_KNOB_ENUM, AT(member), fallback, 0, 0, choices, help, false                     \
    }
#define QUIET(path, member, fallback, help)                                                        \
    {                                                                                              \
        path, SILR_KNOB_BOOL, AT(member), fallback, 0, 0, NULL, help, false                        \
    }
#define SWITCH(path, member, fallback, help)                                                       \
    {                                                                                              \
        path, SILR_KNOB_BOOL, AT(member), fallback, 0, 0, NULL, help, true                         \
    }

static const silr_knob knobs[] = {
    TEXT("name", name, "Name of the task, for titles; default: the file's name.", false),
    TEXT("question", question, "The question that a label answers, in one sentence.", true),
    WHOLE("seed", seed, "1", 0, 9007199254740991.0,
          "Start of all random numbers; the same seed gives the same bytes.", true),
    WHOLE("threads", threads, "0", 0, 4096,
          "Threads to use; 0: all that the process may use. Never changes a result.", false),
    WHOLE("limit", limit, "0", 0, 1e12, "Use the first so many documents only; 0: all.", true),

    CHOICE("corpus.format", corpus.format, "auto", formats,
           "Format of the files; auto: by file name and first bytes."),
    TEXT("corpus.text", corpus.text,
         "Column that holds the text, or a template such as \"# {title}\\n{body}\".", true),
    TEXT("corpus.id", corpus.id, "Column that names a document; none: numbered from 1.", true),
    TEXT("corpus.label", corpus.label, "Column with the true label, where there is one.", true),
    TEXT("corpus.group", corpus.group,
         "Column whose equal values (a conversation, a pair) stay in one part of the split.", true),
    WHOLE("corpus.max_bytes", corpus.max_bytes, "65536", 0, 1e9,
          "Longer texts are cut here, at a character; 0: never.", true),
    REAL("corpus.max_bad", corpus.max_bad, "0.01", 0, 1,
         "Share of bad rows that is tolerated; they go to failed.jsonl."),
    REAL("corpus.split.train", corpus.train, "0.7", 0, 1, "Share of the documents to train on."),
    REAL("corpus.split.validation", corpus.validation, "0.1", 0, 1,
         "Share of the documents that chooses the epoch."),
    REAL("corpus.split.test", corpus.test, "0.2", 0, 1,
         "Share of the documents that is only predicted and judged."),

    WHOLE("labelled.count", labelled.count, "50", 1, 1e9,
          "Hand-checked texts that are drawn from corpus.label.", true),
    TEXT("labelled.file", labelled.file,
         "CSV or JSONL file with the columns id and label: hand-checked labels.", true),

    {"annotator.kind", SILR_KNOB_ENUM, AT(annotator.kind), NULL, 0, 0, annotators,
     "Where the first labels come from: a column of the corpus, rules, a language model behind an "
     "endpoint (chat) or in this process (local), or several of these.",
     true},
    TEXT("annotator.name", annotator.name,
         "Name in tables of several annotators; default: the model, the column or the kind.", true),
    TEXT("annotator.column", annotator.column, "Column that holds the first labels.", true),
    TEXT("annotator.lexicon", annotator.lexicon,
         "File of lines with a word, a tab and a score; the sign of a text's sum votes. Two "
         "classes only.",
         true),
    REAL("annotator.lexicon_margin", annotator.lexicon_margin, "0", 0, 1e9,
         "A sum of scores no further from 0 than this abstains."),
    WHOLE("annotator.match_limit", annotator.match_limit, "1000000", 100, 1e9,
          "Steps a pattern may take on one text before it counts as no match.", true),
    TEXT("annotator.log_odds", annotator.log_odds,
         "Column with log-odds of the first class against the second, of two classes; where there is "
         "no annotator.column, their sign is the label.",
         true),

    TEXT("annotator.url", annotator.chat.url,
         "chat: base address of the endpoint, as in http://localhost:8080/v1; default: the variable "
         "OPENAI_BASE_URL, else OpenAI's.",
         true),
    TEXT("annotator.model", annotator.chat.model, "chat: name of the model. local: its file (GGUF) or folder.", true),
    TEXT("annotator.key_env", annotator.chat.key_env,
         "chat: the environment variable that holds the key; default OPENAI_API_KEY.", false),
    SETTING("annotator.auth", annotator.chat.auth, "bearer", auths,
            "chat: how the key is sent: as Authorization: Bearer, as api-key, or not at all."),
    TEXT("annotator.instruction", annotator.chat.instruction,
         "chat, local: what the model is told first; default: silr's own words.", true),
    TEXT("annotator.prompt", annotator.chat.prompt_template,
         "chat, local: a template for the whole prompt with {instruction}, {question}, {classes}, "
         "{examples} and {text}; default: silr's own.",
         true),
    CHOICE("annotator.answers", annotator.chat.answers, "names", answers,
           "chat, local: what the model answers with: names of classes, or (two classes) true and false."),
    CHOICE("annotator.format", annotator.chat.format, "text", replies,
           "chat: the answer as a word, or as JSON by a schema, where the server knows how."),
    REAL("annotator.temperature", annotator.chat.temperature, "0", 0, 2,
         "chat: randomness of the answer; samples over 1 need some."),
    WHOLE("annotator.max_tokens", annotator.chat.max_tokens, "0", 0, 1e6,
          "chat: longest answer in tokens; 0: what the answers need.", true),
    WHOLE("annotator.reasoning_tokens", annotator.chat.reasoning_tokens, "4096", 0, 1e6,
          "chat: tokens on top for a model that thinks before it answers.", true),
    SWITCH("annotator.logprobs", annotator.chat.logprobs, "true",
           "chat: ask for log-probabilities where the server has them."),
    CHOICE("annotator.calibrate", annotator.chat.calibrate, "none", calibrates,
           "chat, local: contextual asks once without a text and takes those log-probabilities off all others."),
    WHOLE("annotator.top_logprobs", annotator.chat.top_logprobs, "20", 0, 100,
          "chat: how many alternatives of a token to ask for; less where the server allows less.",
          true),
    WHOLE("annotator.samples", annotator.chat.samples, "1", 1, 100,
          "chat: answers a text; their majority is the label, its share the confidence.", true),
    WHOLE("annotator.self_refine", annotator.chat.self_refine, "0", 0, 20,
          "chat, local: rounds in which the model checks its own answer, measured beside refinement.", true),
    WHOLE("annotator.concurrency", annotator.chat.concurrency, "64", 1, 4096,
          "chat: most requests at once; silr finds out how many the server bears.", false),
    WHOLE("annotator.retries", annotator.chat.retries, "8", 0, 100,
          "chat: times a request is sent again after a failure that may pass.", false),
    LIMIT("annotator.timeout", annotator.chat.timeout, "120", 0.1, 86400,
          "chat: seconds until a request without a whole answer is given up."),
    LIMIT("annotator.connect_timeout", annotator.chat.connect_timeout, "10", 0.1, 3600,
          "chat: seconds until a connection must stand."),
    LIMIT("annotator.max_cost", annotator.chat.max_cost, "0", 0, 1e12,
          "chat: stop before the run, earlier calls included, costs more, by annotator.prices; 0: no "
          "limit."),
    WHOLE("annotator.max_requests", annotator.chat.max_requests, "0", 0, 1e15,
          "chat: stop after so many requests of this call; 0: no limit.", false),
    LIMIT("annotator.max_time", annotator.chat.max_time, "0", 0, 1e9,
          "chat: stop asking after so many seconds of this call; 0: no limit."),
    LIMIT("annotator.max_failed", annotator.chat.max_failed, "0.01", 0, 1,
          "chat: share of texts without an answer that is tolerated; they are in failed.jsonl."),
    TEXT("annotator.cache", annotator.chat.cache,
         "chat: file that shares answers between runs, those at the same time too; nothing is asked twice.", false),
    QUIET("annotator.batch", annotator.chat.batch, "false",
          "chat: ask through the Batch API: cheaper, and slow."),
    WHOLE("annotator.batch_lines", annotator.chat.batch_lines, "50000", 1, 50000,
          "chat: most requests of a batch; a server that takes fewer tokens at a time needs less.", false),
    LIMIT("annotator.batch_poll", annotator.chat.batch_poll, "30", 0.01, 3600,
          "chat: longest pause in seconds between two looks at a batch; the first are shorter."),
    LIMIT("annotator.batch_discount", annotator.chat.batch_discount, "0.5", 0, 1,
          "chat: what an answer of a batch costs, as a share of its price in annotator.prices."),

    CHOICE("annotator.talk", annotator.talk, "auto", talks,
           "local: how the model's conversations are written; auto: as its file says, none: a plain "
           "page that ends with \"Answer:\"."),
    REAL("annotator.margin", annotator.margin, "0", 0, 1e3,
         "local: abstains where the log-probabilities of the two likeliest classes are closer."),
    SETTING("annotator.weights", annotator.weights, "auto", kept,
            "local: keep the weights as 32-bit floats (fast), or as the file has them (small); auto: "
            "floats where they fit into half of the free memory."),

    CHOICE("annotator.combine", annotator.combine, "majority", combines,
           "several: how their labels become one: most votes, Dawid-Skene, or each refined on its "
           "own."),
    TEXT("annotator.use", annotator.use, "several: use the one of this name alone.", true),

    CHOICE("classifier.kind", classifier.kind, "ngram", classifiers,
           "Sort of classifier: ngram is linear over hashed n-grams; frozen embeds every text once with "
           "a pretrained encoder and trains a small head on the vectors; qlora fine-tunes a language "
           "model, as the paper does."),
    WHOLE("classifier.word_min", classifier.word_min, "1", 1, 8, "Shortest word n-gram.", true),
    WHOLE("classifier.word_max", classifier.word_max, "2", 0, 8,
          "Longest word n-gram; 0: no word n-grams.", true),
    WHOLE("classifier.char_min", classifier.char_min, "3", 1, 16, "Shortest character n-gram.",
          true),
    WHOLE("classifier.char_max", classifier.char_max, "0", 0, 16,
          "Longest character n-gram; 0: no character n-grams.", true),
    WHOLE("classifier.bits", classifier.bits, "20", 10, 24,
          "N-grams are hashed into two to this power buckets.", true),
    WHOLE("classifier.min_count", classifier.min_count, "2", 1, 1e9,
          "N-grams that stand in fewer texts are left out.", true),
    CHOICE("classifier.weight", classifier.weight, "tfidf", weights,
           "Value of an n-gram in a text."),
    SWITCH("classifier.lowercase", classifier.lowercase, "true",
           "Fold upper and lower case before counting."),
    TEXT("classifier.model", classifier.model,
         "frozen, qlora: folder or file of the model, such as models/all-MiniLM-L6-v2.", true),
    CHOICE("classifier.head", classifier.head, "linear", heads,
           "frozen: what is trained on the vectors: a linear model, or one with a hidden layer."),
    WHOLE("classifier.hidden", classifier.hidden, "32", 1, 1024,
          "frozen: hidden units of head mlp.", true),
    SWITCH("classifier.ngrams", classifier.ngrams, "false",
           "frozen: learn from n-grams too, as kind ngram does, beside the vectors."),
    CHOICE("classifier.pooling", classifier.pooling, "auto", poolings,
           "frozen, qlora: how a text's tokens become one vector; auto: as the model says (qlora: a "
           "decoder's last token)."),
    WHOLE("classifier.max_tokens", classifier.max_tokens, "0", 0, 1e6,
          "frozen, qlora: longer texts are cut here, in tokens; 0: as the model says (qlora: 512).",
          true),
    TEXT("classifier.cache", classifier.cache,
         "frozen: folder that shares vectors between runs; default: embeddings/ in the run's folder.",
         false),
    CHOICE("classifier.tune", classifier.tune, "lora", tunes,
           "qlora: what is trained beside the head: low-rank factors of the matrices named by targets, "
           "or every weight of the model (small models)."),
    TEXT("classifier.targets", classifier.targets,
         "qlora: which matrices get LoRA factors: some of q, k, v, o, gate, up, down, or all; default: "
         "q, v.", true),
    WHOLE("classifier.rank", classifier.rank, "8", 1, 1024, "qlora: rank of the LoRA factors.", true),
    REAL("classifier.alpha", classifier.alpha, "32", 0, 1e6,
         "qlora: LoRA's part counts alpha / rank times."),
    REAL("classifier.dropout", classifier.dropout, "0.05", 0, 0.9,
         "qlora: share of the inputs of LoRA's part that a training step leaves out."),
    CHOICE("classifier.base", classifier.base, "nf4", bases,
           "qlora: how the frozen weights are kept: 4-bit NF4 with double quantisation, 32-bit floats, "
           "or as the file has them."),
    WHOLE("classifier.memory", classifier.memory, "0", 0, 1e7,
          "qlora: MiB for what a step keeps for its backward pass; what does not fit is computed "
          "again. 0: 3.5 GiB, or half of what is free where that is less.", false),
    LIMIT("classifier.checkpoint", classifier.checkpoint, "120", 0, 1e6,
          "qlora: seconds between checkpoints in training, from which a stopped run goes on; 0: none."),

    CHOICE("refine.recipe", refine.recipe, "silr", recipes,
           "silr: what measures best; paper: the loop of the paper to the letter."),
    CHOICE("refine.metric", refine.metric, "accuracy", metrics,
           "What to optimise: accuracy, or the mean of the classes' recalls."),
    CHOICE("refine.risk", refine.risk, "robust-uu", risks,
           "Risk to minimise: pn trusts the labels, uu corrects by theta, robust-uu corrects and "
           "gates."),
    CHOICE("refine.loss", refine.loss, "recipe", losses,
           "Loss of one score (sigmoid; logistic with recipe silr and qlora, which few texts teach little "
           "by the sigmoid)."),
    CHOICE("refine.gate", refine.gate, "recipe", gates,
           "What robust-uu's correction looks at: this batch, or a moving average (paper batch, "
           "silr average)."),
    REAL("refine.gate_decay", refine.gate_decay, "0.9", 0, 0.9999,
         "How much of the moving average stays at each step."),
    REAL("refine.lambda", refine.lambda, "-0.001", -1, 1,
         "Slope of the correction below zero: 1 none (plain uu), 0 clips, below 0 climbs back."),
    WHOLE("refine.iterations", refine.iterations, "recipe", 1, 100,
          "Rounds of training and relabelling (paper 5, silr 3).", true),
    WHOLE("refine.epochs", refine.epochs, "3", 1, 10000,
          "Passes over the data in each iteration of recipe paper, and of qlora.", true),
    WHOLE("refine.steps", refine.steps, "150", 1, 1e6,
          "Full-batch steps in each iteration of recipe silr.", true),
    WHOLE("refine.batch", refine.batch, "recipe", 0, 1e9,
          "Texts in a batch; 0: all of them (paper and qlora 16, silr 0).", true),
    REAL("refine.learning_rate", refine.learning_rate, "0", 0, 1000,
         "Step size; 0: what suits recipe and classifier."),
    REAL("refine.weight_decay", refine.weight_decay, "0.01", 0, 10,
         "Decoupled weight decay of recipe paper."),
    REAL("refine.l2", refine.l2, "recipe", 0, 1e6,
         "Ridge penalty of recipe silr (ngram 0.0003, frozen 0.01, qlora 0)."),
    REAL("refine.clip", refine.clip, "0", 0, 1e6,
         "qlora: a longer gradient is scaled down to this norm; 0: never."),
    REAL("refine.warmup", refine.warmup, "0.03", 0, 1,
         "Share of the steps in which the step size grows from 0 (recipe paper)."),
    WHOLE("refine.folds", refine.folds, "recipe", 1, 100,
          "Folds of cross-relabelling: a text is scored by a model that did not see it; 1: one "
          "model (paper 1, silr 4, qlora 2).",
          true),
    WHOLE("refine.label_folds", refine.label_folds, "5", 2, 100,
          "Folds of the labelled sample, for the certificate.", true),
    REAL("refine.margin", refine.margin, "0.6", 0, 1,
         "A label is flipped only where the probability that it is wrong is over this."),
    REAL("refine.labelled_mass", refine.labelled_mass, "0.3", 0, 1,
         "Share of the training weight that the hand-checked texts get (qlora: they are not trained on)."),
    SWITCH("refine.safe", refine.safe, "false",
           "Iterate only where the labels surely tell something: P(theta_p > theta_n) of 0.9 or "
           "more."),
    REAL("refine.stop_flips", refine.stop_flips, "0", 0, 1,
         "Stop early when a smaller share of the texts changes its label; 0: never."),
    CHOICE("refine.evidence", refine.evidence, "log-odds", evidences,
           "What the annotator's answer counts as where it comes with log-odds (two classes): those, "
           "recalibrated on the labelled sample; the label alone; or those, and the classifier learns from "
           "sets of texts by them (U^m)."),
    WHOLE("refine.sets", refine.sets, "4", 2, 60,
          "Sets of texts by log-odds, for evidence: sets.", true),

    WHOLE("report.examples", report.examples, "50", 0, 10000,
          "Changed texts that the report shows.", false),
};
_Static_assert(sizeof knobs / sizeof *knobs <= TASK_MAX_KNOBS, "raise TASK_MAX_KNOBS");

const silr_knob *silr_knobs(size_t *n)
{
    *n = sizeof knobs / sizeof *knobs;
    return knobs;
}
