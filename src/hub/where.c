/* where.c - the cache and the hub, as the environment names them. The variables are those of Hugging
 * Face's tools, so that a machine that is set up for them is set up for silr. */
#include "hub/inside.h"
#include <stdlib.h>
#include <string.h>

static const char *variable(const char *name)
{
    const char *v = getenv(name);
    return v && *v ? v : NULL;
}

static bool is_true(const char *name)
{
    static const char *const words[] = {"1", "on", "yes", "true"};
    const char *v = variable(name);

    for (size_t i = 0; v && i < sizeof words / sizeof *words; i++)
        if (strcasecmp(v, words[i]) == 0)
            return true;
    return false;
}

/* value + rest, "~" at its beginning being the home. */
static silr_status folder(char **out, const char *value, const char *rest, silr_error *err)
{
    const char *home = variable("HOME");
    bool tilde = value[0] == '~' && (value[1] == '/' || value[1] == '\0');

    if (tilde && !home)
        return silr_fail(err, SILR_EINPUT, "no folder for models: HOME is not set; set HF_HUB_CACHE");
    *out = tilde ? silr_hub_path("%s%s%s", home, value + 1, rest) : silr_hub_path("%s%s", value, rest);
    return *out ? SILR_OK : silr_fail_memory(err);
}

static silr_status find_cache(silr_hub *h, silr_error *err)
{
    static const struct {
        const char *name, *rest;
    } places[] = {{"HF_HUB_CACHE", ""}, {"HUGGINGFACE_HUB_CACHE", ""}, {"HF_HOME", "/hub"},
                  {"XDG_CACHE_HOME", "/huggingface/hub"}};

    for (size_t i = 0; i < sizeof places / sizeof *places; i++)
        if (variable(places[i].name))
            return folder(&h->cache, variable(places[i].name), places[i].rest, err);
    return folder(&h->cache, "~/.cache/huggingface/hub", "", err);
}

static silr_status find_endpoint(silr_hub *h, silr_error *err)
{
    const char *v = variable("HF_ENDPOINT");
    size_t len;

    if (!v)
        v = "https://huggingface.co";
    len = strlen(v);
    while (len > 0 && v[len - 1] == '/')
        len--;
    if (strncmp(v, "http://", 7) != 0 && strncmp(v, "https://", 8) != 0)
        return silr_fail(err, SILR_EINPUT, "HF_ENDPOINT is \"%.100s\": it must begin with http:// or "
                         "https://", v);
    if (memchr(v, '@', len))
        return silr_fail(err, SILR_EINPUT, "HF_ENDPOINT holds a user or a key: the key belongs into "
                         "HF_TOKEN");
    for (size_t i = 0; i < len; i++)
        if ((unsigned char)v[i] <= ' ' || v[i] == 127 || strchr("?#\\\"", v[i]))
            return silr_fail(err, SILR_EINPUT, "HF_ENDPOINT holds a character that no address of a hub "
                             "has: expected something like https://huggingface.co");
    h->endpoint = silr_strndup(v, len);
    return h->endpoint ? SILR_OK : silr_fail_memory(err);
}

static bool is_loopback(const char *url)
{
    static const char *const hosts[] = {"http://127.0.0.1", "http://localhost", "http://[::1]"};

    for (size_t i = 0; i < sizeof hosts / sizeof *hosts; i++) {
        size_t n = strlen(hosts[i]);
        if (strncmp(url, hosts[i], n) == 0 && (url[n] == '\0' || url[n] == ':' || url[n] == '/'))
            return true;
    }
    return false;
}

static silr_status find_token(silr_hub *h, silr_error *err)
{
    const char *v = variable("HF_TOKEN");

    if (!v)
        return SILR_OK;
    for (const char *p = v; *p; p++)
        if ((unsigned char)*p <= ' ' || (unsigned char)*p > 126)
            return silr_fail(err, SILR_EPEER, "the token in HF_TOKEN holds a space or another character "
                             "that no token has; look for a newline at its end");
    if (strncmp(h->endpoint, "http://", 7) == 0 && !is_loopback(h->endpoint))
        silr_log(SILR_LOG_WARN, "%s is not encrypted: HF_TOKEN travels in the open", h->endpoint);
    h->token = silr_strdup(v);
    return h->token ? SILR_OK : silr_fail_memory(err);
}

silr_status silr_hub_init(silr_hub *h, silr_error *err)
{
    silr_status st;

    *h = (silr_hub){.connect_timeout = 15, .timeout = 60, .pause = 0.5};
    h->offline = is_true("HF_HUB_OFFLINE") || is_true("TRANSFORMERS_OFFLINE");
    if ((st = find_cache(h, err)) != SILR_OK || (st = find_endpoint(h, err)) != SILR_OK ||
        (st = find_token(h, err)) != SILR_OK)
        silr_hub_clear(h);
    return st;
}

void silr_hub_clear(silr_hub *h)
{
    if (h->token)
        explicit_bzero(h->token, strlen(h->token));
    silr_free(h->cache);
    silr_free(h->endpoint);
    silr_free(h->token);
    *h = (silr_hub){0};
}
