/* manifest.c - manifest.json: what a reader needs to do the same again.
 *
 * Which program, which settings and where each came from, which data (by hash), which split, on
 * what machine, with which libraries, when, and at what cost. */
#include "dist/dist.h"
#include "http/http.h"
#include "report/inside.h"

#include <dirent.h>
#include <libfyaml.h>
#include <math.h>
#include <openssl/crypto.h>
#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>
#include <sqlite3.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <unistd.h>
#include <utf8proc.h>
#include <xxhash.h>
#include <zlib.h>
#include <zstd.h>

static void text(silr_buf *b, const char *name, const char *value)
{
    silr_buf_printf(b, "\"%s\":", name);
    if (value)
        silr_buf_json(b, value, strlen(value));
    else
        silr_buf_puts(b, "null");
}

void silr_libraries_render(silr_buf *b)
{
    char pcre[64] = "";
    unsigned x = XXH_versionNumber();

    if (pcre2_config(PCRE2_CONFIG_VERSION, NULL) < (int)sizeof pcre)
        pcre2_config(PCRE2_CONFIG_VERSION, pcre);
    silr_buf_putc(b, '{');
    text(b, "sqlite", sqlite3_libversion());
    silr_buf_putc(b, ',');
    text(b, "jansson", jansson_version_str());
    silr_buf_putc(b, ',');
    text(b, "libfyaml", fy_library_version());
    silr_buf_putc(b, ',');
    text(b, "pcre2", pcre);
    silr_buf_putc(b, ',');
    text(b, "utf8proc", utf8proc_version());
    silr_buf_putc(b, ',');
    text(b, "zlib", zlibVersion());
    silr_buf_putc(b, ',');
    text(b, "zstd", ZSTD_versionString());
    silr_buf_printf(b, ",\"xxhash\":\"%u.%u.%u\",", x / 10000, x / 100 % 100, x % 100);
    text(b, "libcurl", silr_http_library());
    silr_buf_putc(b, ',');
    text(b, "openssl", OpenSSL_version(OPENSSL_VERSION_STRING));
    silr_buf_putc(b, '}');
}

/* "model name	: ..." of the first processor; unknown elsewhere than on x86. */
static void cpu_model(char *out, size_t size)
{
    char line[512];
    FILE *f = fopen("/proc/cpuinfo", "re");
    snprintf(out, size, "unknown");
    while (f && fgets(line, sizeof line, f)) {
        char *colon = strchr(line, ':');
        if (strncmp(line, "model name", 10) != 0 || !colon)
            continue;
        line[strcspn(line, "\n")] = 0;
        snprintf(out, size, "%s", colon + 1 + strspn(colon + 1, " \t"));
        break;
    }
    if (f)
        fclose(f);
}

static void hardware(silr_buf *b)
{
    char model[512];
    struct utsname host;
    long pages = sysconf(_SC_PHYS_PAGES), page = sysconf(_SC_PAGE_SIZE);
    bool avx2 = false, avx512 = false;

#if defined(__x86_64__)
    avx2 = __builtin_cpu_supports("avx2") != 0;
    avx512 = __builtin_cpu_supports("avx512f") != 0;
#endif
    cpu_model(model, sizeof model);
    silr_buf_puts(b, "{");
    text(b, "cpu", model);
    silr_buf_printf(b, ",\"avx2\":%s,\"avx512\":%s,\"cores\":%ld,\"memory_bytes\":%.0f",
                    avx2 ? "true" : "false", avx512 ? "true" : "false",
                    sysconf(_SC_NPROCESSORS_ONLN), (double)pages * (double)page);
    if (uname(&host) == 0) {
        silr_buf_putc(b, ',');
        text(b, "kernel", host.release);
        silr_buf_putc(b, ',');
        text(b, "system", host.sysname);
        silr_buf_putc(b, ',');
        text(b, "machine", host.machine);
    }
    silr_buf_putc(b, '}');
}

/* Counts, and one hash over every (id, split): equal hashes are equal splits. */
static void splits(silr_buf *b, const silr_facts *f)
{
    size_t count[3] = {0};
    uint64_t hash = 0;
    for (size_t i = 0; i < f->n; i++) {
        const char *id = silr_corpus_id(f->corpus, i);
        silr_split s = silr_corpus_split(f->corpus, i);
        count[s]++;
        hash = silr_hash64(id, strlen(id), hash * 3 + (uint64_t)s);
    }
    silr_buf_printf(b, "{\"train\":%zu,\"validation\":%zu,\"test\":%zu,\"hash\":\"%016llx\"}",
                    count[SILR_TRAIN], count[SILR_VALIDATION], count[SILR_TEST],
                    (unsigned long long)hash);
}

static void settings(silr_buf *b, const silr_task *task)
{
    size_t n;
    const silr_knob *knob = silr_knobs(&n);
    silr_buf value = {0};
    bool first = true;

    silr_buf_putc(b, '{');
    for (size_t i = 0; i < n; i++) {
        const char *origin = NULL;
        silr_buf_reset(&value);
        if (!silr_task_get(task, knob[i].path, &value, &origin))
            continue;
        silr_buf_puts(b, first ? "\n" : ",\n");
        silr_buf_json(b, knob[i].path, strlen(knob[i].path));
        silr_buf_puts(b, ":{");
        text(b, "value", value.len ? value.data : NULL);
        silr_buf_putc(b, ',');
        text(b, "origin", origin);
        silr_buf_putc(b, '}');
        first = false;
    }
    silr_buf_putc(b, '}');
    b->failed |= value.failed;
    silr_buf_clear(&value);
}

/* Of classifier frozen: what its vectors came from, out of the classifier's own model.json. */
static void encoder(silr_buf *b, const char *dir)
{
    static const char *const keys[] = {"encoder", "encoder_path", "encoder_sha256", "dim", "pooling",
                                       "max_tokens", "hidden"};
    char *path = silr_path_join(dir, "model.json");
    json_t *model = path ? json_load_file(path, 0, NULL) : NULL;
    bool first = true;

    b->failed |= !path;
    silr_buf_puts(b, ",\"encoder\":{");
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        const json_t *v = json_object_get(model, keys[i]);
        if (!v)
            continue;
        silr_buf_puts(b, first ? "" : ",");
        if (json_is_integer(v))
            silr_buf_printf(b, "\"%s\":%lld", keys[i], (long long)json_integer_value(v));
        else
            text(b, keys[i], json_string_value(v));
        first = false;
    }
    silr_buf_puts(b, first ? "" : ",");
    silr_buf_puts(b, "\"vectors\":\"binary16\"}");
    json_decref(model);
    silr_free(path);
}

/* The files of the saved classifier, by name, with their hashes. */
static void classifier(silr_buf *b, const silr_facts *f)
{
    static const char *const kinds[] = {"ngram", "frozen", "qlora"};
    const bool frozen = f->task->classifier.kind == SILR_CLASSIFIER_FROZEN;
    char *dir = silr_path_join(f->dir, "classifier");
    struct dirent **entry = NULL;
    int n = dir ? scandir(dir, &entry, NULL, alphasort) : -1;
    bool first = true;

    b->failed |= !dir;
    silr_buf_printf(b, "{\"kind\":\"%s\"", kinds[f->task->classifier.kind]);
    if (frozen && dir)
        encoder(b, dir);
    silr_buf_puts(b, ",\"files\":{");
    for (int i = 0; i < n; i++) {
        char *path = silr_path_join(dir, entry[i]->d_name);
        struct stat info;
        silr_sha256 hash;
        if (path && stat(path, &info) == 0 && S_ISREG(info.st_mode) &&
            silr_sha256_file(&hash, path, NULL) == SILR_OK) {
            if (!first)
                silr_buf_putc(b, ',');
            silr_buf_json(b, entry[i]->d_name, strlen(entry[i]->d_name));
            silr_buf_printf(b, ":\"%s\"", hash.hex);
            first = false;
        }
        b->failed |= !path;
        silr_free(path);
        free(entry[i]); /* scandir's own memory */
    }
    free(entry);
    silr_free(dir);
    silr_buf_puts(b, "}}");
}

void silr_manifest_render(const silr_facts *f, silr_buf *b)
{
    const silr_task *task = f->task;
    silr_buf_puts(b, "{\"schema_version\":1,\n\"program\":{\"name\":\"silr\",");
    text(b, "version", SILR_VERSION);
    silr_buf_putc(b, ',');
    text(b, "commit", SILR_COMMIT);
    silr_buf_puts(b, "},\n");
    text(b, "command", f->command.len ? f->command.data : NULL);
    silr_buf_printf(b, ",\n\"oracle\":%s,\n",
                    task->labelled.kind == SILR_LABELLED_ORACLE ? "true" : "false");
    text(b, "task_hash", task->hash.hex);
    silr_buf_puts(b, ",\n\"task\":");
    silr_task_to_json(task, b);
    silr_buf_puts(b, ",\n\"settings\":");
    settings(b, task);
    silr_buf_printf(b, ",\n\"seeds\":[%lld],\n\"splits\":", (long long)task->seed);
    splits(b, f);
    silr_buf_printf(b,
                    ",\n\"corpus\":{\"documents\":%zu,\"sha256\":\"%s\"},\n\"classifier\":", f->n,
                    silr_corpus_digest(f->corpus)->hex);
    classifier(b, f);
    silr_buf_puts(b, ",\n\"libraries\":");
    silr_libraries_render(b);
    silr_buf_puts(b, ",\n\"hardware\":");
    hardware(b);
    silr_buf_printf(b, ",\n\"threads\":%d,\"ranks\":%d,\n", silr_dist_threads((int)task->threads),
                    silr_dist_size());
    text(b, "start", f->start.len ? f->start.data : NULL);
    silr_buf_putc(b, ',');
    text(b, "end", f->end.len ? f->end.data : NULL);
    silr_buf_puts(b, ",\n\"annotation\":");
    silr_annotators_json(&f->annotators, b);
    silr_buf_printf(b, ",\n\"peak_memory_bytes\":%llu,\n\"cost\":",
                    (unsigned long long)silr_peak_memory());
    silr_buf_number(b, f->annotators.model ? f->annotators.sums.cost : 0, 10);
    silr_buf_puts(b, "}\n");
}
