/* SPDX-License-Identifier: Apache-2.0
 * Copyright The mod_mtls_policy authors */

#include "ocsp/exchange.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>

#include <apr_base64.h>

#include "ocsp/address.h"
#include "policy/limits.h"

#define MAX_GET_BYTES 255 /* RFC 9919 5 */

const char *mtls_exchange_printable(apr_pool_t *p, const char *text)
{
    char *copy = apr_pstrndup(p, text, 200), *c;

    for (c = copy; *c; c++) {
        if (*c < ' ' || *c > '~')
            *c = '?';
    }
    return copy;
}

/* ---- what libcurl calls ---- */

static int on_look_up(void *resolver, void *reserved, void *baton)
{
    mtls_exchange_t *x = baton;

    (void)resolver;
    (void)reserved;
    x->looks_up = 1;
    return 0;
}

static const char *address_text(apr_pool_t *p, const struct sockaddr *address)
{
    char text[INET6_ADDRSTRLEN] = "?";

    if (address->sa_family == AF_INET)
        inet_ntop(AF_INET, &((const struct sockaddr_in *)(const void *)address)->sin_addr, text,
                  sizeof(text));
    else if (address->sa_family == AF_INET6)
        inet_ntop(AF_INET6, &((const struct sockaddr_in6 *)(const void *)address)->sin6_addr, text,
                  sizeof(text));
    return apr_pstrdup(p, text);
}

/* The address here is the one that is connected to, whatever a name was looked up to before. */
static curl_socket_t on_open(void *baton, curlsocktype purpose, struct curl_sockaddr *address)
{
    mtls_exchange_t *x = baton;
    const mtls_fetch_rules_t *rules = x->model->rules;
    const char *why = NULL;

    if (purpose != CURLSOCKTYPE_IPCXN)
        why = "is for something else than a connection";
    else if (!rules->allow && !x->fetch->configured && !rules->proxy)
        why = mtls_address_refused(&address->addr, rules->listeners);
    if (why) {
        x->refused = apr_psprintf(x->p, "%s %s", address_text(x->p, &address->addr), why);
        return CURL_SOCKET_BAD;
    }
    x->opened++;
    return socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
}

static int is_response_type(const char *type)
{
    static const char name[] = "application/ocsp-response";
    const size_t n = sizeof(name) - 1;

    return type && strncasecmp(type, name, n) == 0 && (!type[n] || strchr("; \t", type[n]));
}

/* Some responders know one method only, and say so in all sorts of ways. */
static int blames_method(long status)
{
    return (status >= 200 && status < 500 && status != 429) || status == 501;
}

/* What is no response whatever its bytes are: NULL, or what it is. */
static const char *not_a_response(mtls_exchange_t *x)
{
    long status = 0, version = 0;
    char *type = NULL;

    curl_easy_getinfo(x->easy, CURLINFO_RESPONSE_CODE, &status);
    curl_easy_getinfo(x->easy, CURLINFO_CONTENT_TYPE, &type);
    curl_easy_getinfo(x->easy, CURLINFO_HTTP_VERSION, &version);
    if (version > CURL_HTTP_VERSION_1_1) /* libcurl takes "HTTP/2 200" for an answer, unasked */
        return "an HTTP version that was not asked for";
    x->other_method = blames_method(status);
    if (status != 200)
        return apr_psprintf(x->p, "HTTP status %ld", status);
    if (!is_response_type(type))
        return type ? apr_psprintf(x->p, "Content-Type \"%s\"", mtls_exchange_printable(x->p, type))
                    : "no Content-Type";
    x->other_method = 0;
    return NULL;
}

static int is_header(mtls_span_t line, const char *name, mtls_span_t *value)
{
    const apr_size_t n = strlen(name);

    if (line.len <= n || line.data[n] != ':' || strncasecmp(line.data, name, n) != 0)
        return 0;
    *value = mtls_span(line.data + n + 1, line.len - n - 1);
    while (value->len > 0 && strchr(" \t", value->data[0]))
        *value = mtls_span(value->data + 1, value->len - 1);
    while (value->len > 0 && strchr(" \t\r\n", value->data[value->len - 1]))
        value->len--;
    return 1;
}

static int is_word(mtls_span_t value, const char *word)
{
    return value.len == strlen(word) && strncasecmp(value.data, word, value.len) == 0;
}

/* Also of interim answers, of a proxy's to CONNECT, and trailers. libcurl bounds a line only. */
static size_t on_header(char *data, size_t size, size_t n, void *baton)
{
    mtls_exchange_t *x = baton;
    mtls_span_t line = {data, size * n}, value;

    x->header_bytes += line.len;
    if (x->header_bytes > MTLS_MAX_OCSP_HEADER_BYTES)
        x->wrong = "header fields without end";
    else if (is_header(line, "Content-Encoding", &value) && !is_word(value, "identity"))
        x->wrong = "a Content-Encoding that was not asked for";
    else if (is_header(line, "Transfer-Encoding", &value) && !is_word(value, "chunked") &&
             !is_word(value, "identity"))
        x->wrong = "a Transfer-Encoding that was not asked for";
    return x->wrong ? 0 : line.len;
}

static void take(mtls_exchange_t *x, const char *data, apr_size_t n)
{
    if (x->len + n > x->room) {
        const apr_size_t room = x->len + n > 4096 ? MTLS_MAX_OCSP_BYTES : 4096;
        char *body = apr_palloc(x->p, room);
        if (x->len > 0)
            memcpy(body, x->body, x->len);
        x->body = body;
        x->room = room;
    }
    memcpy(x->body + x->len, data, n);
    x->len += n;
}

static const char *too_large(const mtls_exchange_t *x)
{
    return apr_psprintf(x->p, "an answer of more than %d bytes", MTLS_MAX_OCSP_BYTES);
}

static size_t on_body(char *data, size_t size, size_t n, void *baton)
{
    mtls_exchange_t *x = baton;
    const apr_size_t len = size * n;

    if (!x->wrong && x->len == 0)
        x->wrong = not_a_response(x);
    if (!x->wrong && len > MTLS_MAX_OCSP_BYTES - x->len)
        x->wrong = too_large(x);
    if (x->wrong)
        return 0;
    if (len > 0)
        take(x, data, len);
    return len;
}

/* ---- settings ---- */

typedef struct long_option_t {
    CURLoption option;
    long value;
} long_option_t;

static const long_option_t long_options[] = {
    {CURLOPT_NOSIGNAL, 1},
    {CURLOPT_QUICK_EXIT, 1}, /* never wait for a look-up that hangs: leave its thread behind */
    {CURLOPT_FOLLOWLOCATION, 0},
    {CURLOPT_HTTP_VERSION, CURL_HTTP_VERSION_1_1},
    {CURLOPT_HTTP09_ALLOWED, 0},
    {CURLOPT_NETRC, CURL_NETRC_IGNORED},
    {CURLOPT_DISALLOW_USERNAME_IN_URL, 1},
    {CURLOPT_PATH_AS_IS, 1},
    /* A connection of its own each: what was opened for an administrator's URL is never used for
     * a certificate's of the same host. */
    {CURLOPT_FRESH_CONNECT, 1},
    {CURLOPT_FORBID_REUSE, 1},
    {CURLOPT_SSL_VERIFYPEER, 1},
    {CURLOPT_SSL_VERIFYHOST, 2},
    {CURLOPT_SSLVERSION, CURL_SSLVERSION_TLSv1_2},
    {CURLOPT_BUFFERSIZE, 16 * 1024},
    {CURLOPT_UPLOAD_BUFFERSIZE, 16 * 1024},
    {CURLOPT_MAXFILESIZE, MTLS_MAX_OCSP_BYTES},
    {CURLOPT_NOPROGRESS, 1},
};

static int set_longs(CURL *easy)
{
    size_t i;

    for (i = 0; i < sizeof(long_options) / sizeof(long_options[0]); i++) {
        if (curl_easy_setopt(easy, long_options[i].option, long_options[i].value) != CURLE_OK)
            return 0;
    }
    return 1;
}

/* With "" for proxy and exceptions libcurl does not look into the environment. */
static int set_model(CURL *easy, const mtls_fetch_rules_t *rules)
{
    const char *proxy = rules->proxy ? rules->proxy : "";

    return set_longs(easy) &&
           curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https") == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_PROXY, proxy) == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_NOPROXY, "") == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_USERAGENT, "mod_mtls_policy") == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_RESOLVER_START_FUNCTION, on_look_up) == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_OPENSOCKETFUNCTION, on_open) == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, on_header) == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_body) == CURLE_OK;
}

static int set_batons(mtls_exchange_t *x)
{
    return curl_easy_setopt(x->easy, CURLOPT_PRIVATE, x) == CURLE_OK &&
           curl_easy_setopt(x->easy, CURLOPT_RESOLVER_START_DATA, x) == CURLE_OK &&
           curl_easy_setopt(x->easy, CURLOPT_OPENSOCKETDATA, x) == CURLE_OK &&
           curl_easy_setopt(x->easy, CURLOPT_HEADERDATA, x) == CURLE_OK &&
           curl_easy_setopt(x->easy, CURLOPT_WRITEDATA, x) == CURLE_OK &&
           curl_easy_setopt(x->easy, CURLOPT_ERRORBUFFER, x->said) == CURLE_OK;
}

/* "{url}/{url-encoding of base-64 encoding of the DER}" (RFC 6960 A.1); NULL: use POST. A URL that
 * ends in "/" has its slash: many servers redirect "//". */
static const char *get_url(apr_pool_t *p, const mtls_fetch_t *fetch)
{
    const apr_size_t n = strlen(fetch->url);
    char *base64, *c, *out, *url;

    if (n + fetch->request.len >= MAX_GET_BYTES || strchr(fetch->url, '?'))
        return NULL;
    base64 = apr_palloc(p, (apr_size_t)apr_base64_encode_len((int)fetch->request.len));
    apr_base64_encode(base64, fetch->request.data, (int)fetch->request.len);
    out = url = apr_palloc(p, n + 2 + 3 * strlen(base64));
    out = apr_cpystrn(out, fetch->url, n + 1);
    if (url[n - 1] != '/')
        *out++ = '/';
    for (c = base64; *c; c++) {
        if (mtls_ascii_alnum(*c))
            *out++ = *c;
        else
            out = apr_cpystrn(out, *c == '+' ? "%2B" : *c == '/' ? "%2F" : "%3D", 4);
    }
    *out = '\0';
    return out - url <= MAX_GET_BYTES ? url : NULL;
}

static int set_method(mtls_exchange_t *x, const char *url)
{
    CURL *easy = x->easy;

    if (url)
        return curl_easy_setopt(easy, CURLOPT_URL, url) == CURLE_OK &&
               curl_easy_setopt(easy, CURLOPT_HTTPHEADER, x->model->get_headers) == CURLE_OK;
    return curl_easy_setopt(easy, CURLOPT_URL, x->fetch->url) == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_HTTPHEADER, x->model->post_headers) == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_POST, 1L) == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE, (long)x->fetch->request.len) == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_POSTFIELDS,
                            x->fetch->request.len ? x->fetch->request.data : "") == CURLE_OK;
}

/* ---- public ---- */

int mtls_exchange_model_make(mtls_exchange_model_t *model, const mtls_fetch_rules_t *rules)
{
    struct curl_slist *more;

    memset(model, 0, sizeof(*model));
    model->rules = rules;
    model->easy = curl_easy_init();
    model->get_headers = curl_slist_append(NULL, "Connection: close");
    model->post_headers = curl_slist_append(NULL, "Connection: close");
    more = curl_slist_append(model->post_headers, "Content-Type: application/ocsp-request");
    return model->easy && model->get_headers && model->post_headers && more &&
           curl_slist_append(more, "Expect:") && set_model(model->easy, rules);
}

void mtls_exchange_model_free(mtls_exchange_model_t *model)
{
    curl_easy_cleanup(model->easy);
    curl_slist_free_all(model->get_headers);
    curl_slist_free_all(model->post_headers);
    memset(model, 0, sizeof(*model));
}

/* Through a proxy we see no address but its own: a literal one is judged here. */
const char *mtls_exchange_forbidden(apr_pool_t *p, const mtls_fetch_rules_t *rules,
                                    const mtls_fetch_t *fetch)
{
    const char *host, *error;
    int port;

    if ((error = mtls_fetch_parse_url(p, fetch->url, &host, &port)) != NULL)
        return error;
    if (!mtls_fetch_allows(rules, fetch->url))
        return "is not in MTLSOCSPResponderAllow";
    if (rules->allow || fetch->configured)
        return NULL;
    error = mtls_address_host_refused(host, port, rules->listeners);
    return error ? apr_psprintf(p, "is not to be contacted: %s %s", host, error) : NULL;
}

int mtls_exchange_begin(mtls_exchange_t *x, CURLM *multi, apr_interval_time_t left)
{
    const char *url = x->post ? NULL : get_url(x->p, x->fetch);

    x->post = !url;
    x->easy = curl_easy_duphandle(x->model->easy);
    return x->easy && set_batons(x) && set_method(x, url) &&
           curl_easy_setopt(x->easy, CURLOPT_TIMEOUT_MS, (long)(left / 1000 + 1)) == CURLE_OK &&
           curl_multi_add_handle(multi, x->easy) == CURLM_OK;
}

void mtls_exchange_end(mtls_exchange_t *x, CURLM *multi)
{
    if (x->easy) {
        curl_multi_remove_handle(multi, x->easy);
        curl_easy_cleanup(x->easy);
    }
    x->easy = NULL;
}

const char *mtls_exchange_phase(const mtls_exchange_t *x)
{
    const int tls = strncasecmp(x->fetch->url, "https", 5) == 0;
    curl_off_t answered = 0, sent = 0;

    curl_easy_getinfo(x->easy, CURLINFO_PRETRANSFER_TIME_T, &sent);
    curl_easy_getinfo(x->easy, CURLINFO_STARTTRANSFER_TIME_T, &answered);
    if (!x->looks_up && !x->opened)
        return "waiting for other exchanges with the host";
    if (!x->opened)
        return "looking up the name";
    if (sent == 0)
        return tls ? "connecting, or agreeing on TLS" : "connecting";
    return answered == 0 ? "waiting for the answer" : "receiving the answer";
}

const char *mtls_exchange_fault(mtls_exchange_t *x, CURLcode code)
{
    if (x->wrong)
        return x->wrong;
    if (code == CURLE_OPERATION_TIMEDOUT)
        return apr_psprintf(x->p, "timed out %s", mtls_exchange_phase(x));
    if (code == CURLE_FILESIZE_EXCEEDED)
        return too_large(x);
    if (code == CURLE_OUT_OF_MEMORY) /* it gives up a line of 100 KB like that */
        return "out of memory, or a header field without end";
    if (code != CURLE_OK)
        return mtls_exchange_printable(x->p, x->said[0] ? x->said : curl_easy_strerror(code));
    x->wrong = not_a_response(x);
    if (!x->wrong && x->len == 0)
        x->wrong = "an empty answer";
    return x->wrong;
}
