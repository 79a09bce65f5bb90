/* SPDX-License-Identifier: Apache-2.0
 * Copyright The mod_mtls_policy authors */

/* ocsp/fetch, ocsp/address: which URLs are read, as what, and which addresses a certificate may
 * name. */

#include "suite.h"

#include <arpa/inet.h>
#include <ifaddrs.h>
#include <netinet/in.h>
#include <stdlib.h>

#include <apr_network_io.h>

#include "ocsp/address.h"
#include "ocsp/fetch.h"
#include "policy/limits.h"

/* ---- this machine's addresses are what the test says ---- */

static const char *own_addresses[4];
static int addresses_fail;

int getifaddrs(struct ifaddrs **all);
void freeifaddrs(struct ifaddrs *all);

int getifaddrs(struct ifaddrs **all)
{
    int i;

    *all = NULL;
    if (addresses_fail)
        return -1;
    for (i = 0; i < 4 && own_addresses[i]; i++) {
        struct ifaddrs *one = apr_pcalloc(pool, sizeof(*one));
        struct sockaddr_in6 *v6 = apr_pcalloc(pool, sizeof(*v6));
        struct sockaddr_in *v4 = apr_pcalloc(pool, sizeof(*v4));
        if (inet_pton(AF_INET, own_addresses[i], &v4->sin_addr) == 1) {
            v4->sin_family = AF_INET;
            one->ifa_addr = (struct sockaddr *)v4;
        } else if (inet_pton(AF_INET6, own_addresses[i], &v6->sin6_addr) == 1) {
            v6->sin6_family = AF_INET6;
            one->ifa_addr = (struct sockaddr *)v6;
        } /* else: an interface without an address */
        one->ifa_next = *all;
        *all = one;
    }
    return 0;
}

void freeifaddrs(struct ifaddrs *all)
{
    (void)all;
}

/* ---- URLs ---- */

typedef struct url_t {
    const char *url;
    const char *host; /* NULL: it is refused */
    int port;
    const char *words;
} url_t;

#define L63 "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"

static const url_t urls[] = {
    {"http://ocsp.example", "ocsp.example", 80, NULL},
    {"http://ocsp.example/", "ocsp.example", 80, NULL},
    {"https://ocsp.example/a/b", "ocsp.example", 443, NULL},
    {"HTTP://OCSP.Example:8080/A", "ocsp.example", 8080, NULL},
    {"http://ocsp.example.:80/", "ocsp.example", 80, NULL},
    {"http://ocsp/", "ocsp", 80, NULL},
    {"http://a_b-c.d1/", "a_b-c.d1", 80, NULL},
    {"http://1.2.3.example/", "1.2.3.example", 80, NULL},
    {"http://0x7f.example/", "0x7f.example", 80, NULL},
    {"http://ocsp.example?x=1", "ocsp.example", 80, NULL},
    {"http://ocsp.example/a%20b;c=d&e~(f)*+,'!$@:[]", "ocsp.example", 80, NULL},
    {"http://192.0.2.1/", "192.0.2.1", 80, NULL},
    {"http://127.0.0.1:1/", "127.0.0.1", 1, NULL},
    {"http://[2001:DB8:0:0::1]:65535/", "2001:db8::1", 65535, NULL},
    {"http://[::ffff:192.0.2.1]/", "::ffff:192.0.2.1", 80, NULL},
    {"http://" L63 ".example/", L63 ".example", 80, NULL},
    {"", NULL, 0, "http:// or https://"},
    {"http:", NULL, 0, "http:// or https://"},
    {"http:/ocsp.example", NULL, 0, "http:// or https://"},
    {" http://ocsp.example", NULL, 0, "http:// or https://"},
    {"//ocsp.example", NULL, 0, "http:// or https://"},
    {"ocsp.example", NULL, 0, "http:// or https://"},
    {"file:///etc/passwd", NULL, 0, "http:// or https://"},
    {"gopher://ocsp.example/", NULL, 0, "http:// or https://"},
    {"ftp://ocsp.example/", NULL, 0, "http:// or https://"},
    {"ldap://ocsp.example/", NULL, 0, "http:// or https://"},
    {"http://", NULL, 0, "no host"},
    {"http:///path", NULL, 0, "no host"},
    {"http://:80/", NULL, 0, "no host"},
    {"http://./", NULL, 0, "no host"},
    {"http://?x", NULL, 0, "no host"},
    {"http://ocsp.example/#x", NULL, 0, "fragment"},
    {"http://ocsp.example#@127.0.0.1/", NULL, 0, "fragment"},
    {"http://user@ocsp.example/", NULL, 0, "user"},
    {"http://user:secret@ocsp.example/", NULL, 0, "user"},
    {"http://ocsp.example:80@127.0.0.1/", NULL, 0, "user"},
    {"http://ocsp.example/ x", NULL, 0, "byte"},
    {"http://ocsp.example/\r\nHost: x", NULL, 0, "byte"},
    {"http://ocsp.example/\tx", NULL, 0, "byte"},
    {"http://ocsp.example/\x7f", NULL, 0, "byte"},
    {"http://ocsp.example/\xc3\xa9", NULL, 0, "byte"},
    {"http://ocsp.example\\@127.0.0.1/", NULL, 0, "byte"},
    {"http://ocsp.example/<x>", NULL, 0, "byte"},
    {"http://ocsp.example/{x}", NULL, 0, "byte"},
    {"http://ocsp..example/", NULL, 0, "neither"},
    {"http://.ocsp.example/", NULL, 0, "neither"},
    {"http://ocsp.example../", NULL, 0, "neither"},
    {"http://ocsp%2eexample/", NULL, 0, "neither"},
    {"http://%6c%6f%63%61%6c/", NULL, 0, "neither"},
    {"http://*.example/", NULL, 0, "neither"},
    {"http://a" L63 ".example/", NULL, 0, "neither"},
    {"http://" L63 "." L63 "." L63 "." L63 "/", NULL, 0, "neither"},
    {"http://127.1/", NULL, 0, "number"},
    {"http://2130706433/", NULL, 0, "number"},
    {"http://0177.0.0.1/", NULL, 0, "number"},
    {"http://0x7f000001/", NULL, 0, "number"},
    {"http://0x7F.1/", NULL, 0, "number"},
    {"http://127.0.0.0x1/", NULL, 0, "number"},
    {"http://127.0.0.0X1/", NULL, 0, "number"},
    {"http://127.0.0.01/", NULL, 0, "number"},
    {"http://127.0.0.1./", NULL, 0, "number"},
    {"http://127.0.0.256/", NULL, 0, "number"},
    {"http://1.2.3.4.5/", NULL, 0, "number"},
    {"http://example.123/", NULL, 0, "number"},
    {"http://example.0x1.", NULL, 0, "number"},
    {"http://ocsp.example:/", NULL, 0, "port"},
    {"http://ocsp.example:0/", NULL, 0, "port"},
    {"http://ocsp.example:65536/", NULL, 0, "port"},
    {"http://ocsp.example:4294967376/", NULL, 0, "port"},
    {"http://ocsp.example:80a/", NULL, 0, "port"},
    {"http://ocsp.example:-1/", NULL, 0, "port"},
    {"http://ocsp.example:80:80/", NULL, 0, "port"},
    {"http://2001:db8::1/", NULL, 0, "number"},
    {"http://fd00::1/", NULL, 0, "port"},
    {"http://[2001:db8::1/", NULL, 0, "]"},
    {"http://[2001:db8::1]x/", NULL, 0, "between"},
    {"http://[]/", NULL, 0, "IPv6"},
    {"http://[ocsp.example]/", NULL, 0, "IPv6"},
    {"http://[127.0.0.1]/", NULL, 0, "IPv6"},
    {"http://[fe80::1%25eth0]/", NULL, 0, "IPv6"},
    {"http://[0000:0000:0000:0000:0000:0000:0000:0000:0000:0001]/", NULL, 0, "IPv6"},
};

static void test_url(void **state)
{
    const url_t *row = *state;
    const char *host = "untouched";
    int port = -1;

    assert_message(mtls_fetch_parse_url(pool, row->url, &host, &port), row->words);
    assert_string_equal(host, row->host ? row->host : "untouched");
    assert_int_equal(port, row->host ? row->port : -1);
    assert_message(mtls_fetch_parse_url(pool, row->url, NULL, NULL), row->words);
}

static void test_url_of_every_byte(void **state)
{
    int byte;

    (void)state;
    for (byte = 1; byte < 256; byte++) {
        const char *in_path = apr_psprintf(pool, "http://a/%c", byte);
        const char *in_host = apr_psprintf(pool, "http://a%cb/", byte);
        const int plain = byte < 128 && mtls_ascii_alnum((char)byte);
        const char *path_error = mtls_fetch_parse_url(pool, in_path, NULL, NULL);
        const char *host_error = mtls_fetch_parse_url(pool, in_host, NULL, NULL);
        if ((path_error == NULL) !=
            (plain || (byte < 128 && strchr("-._~:/?[]@!$&'()*+,;=%", byte) != NULL)))
            fail_msg("in the path: %d", byte);
        if ((host_error == NULL) != (plain || (byte < 128 && strchr("-_./?", byte) != NULL)))
            fail_msg("in the host: %d", byte);
    }
}

static void test_url_as_long_as_may_be(void **state)
{
    char *url = apr_palloc(pool, MTLS_MAX_OCSP_URL_BYTES + 2);

    (void)state;
    memset(url, 'a', MTLS_MAX_OCSP_URL_BYTES + 1);
    memcpy(url, "http://ocsp.example/", 20);
    url[MTLS_MAX_OCSP_URL_BYTES + 1] = '\0';
    assert_message(mtls_fetch_parse_url(pool, url, NULL, NULL), "too long");
    url[MTLS_MAX_OCSP_URL_BYTES] = '\0';
    assert_message(mtls_fetch_parse_url(pool, url, NULL, NULL), NULL);
}

/* ---- MTLSOCSPResponderAllow ---- */

static const url_t hosts[] = {
    {"ocsp.example", "ocsp.example", 0, NULL},
    {"OCSP.Example.", "ocsp.example", 0, NULL},
    {"ocsp.example:8080", "ocsp.example", 8080, NULL},
    {"192.0.2.1:80", "192.0.2.1", 80, NULL},
    {"[2001:DB8::0:1]:80", "2001:db8::1", 80, NULL},
    {"[2001:db8::1]", "2001:db8::1", 0, NULL},
    {"2001:db8:0::1", "2001:db8::1", 0, NULL},
    {"::1", "::1", 0, NULL},
    {"", NULL, 0, "no host"},
    {"ocsp.example:", NULL, 0, "port"},
    {"ocsp.example:0", NULL, 0, "port"},
    {"ocsp.example:http", NULL, 0, "port"},
    {"http://ocsp.example", NULL, 0, "port"},
    {"ocsp.example/path", NULL, 0, "neither"},
    {"*.example", NULL, 0, "neither"},
    {"user@ocsp.example", NULL, 0, "neither"},
    {"127.1", NULL, 0, "number"},
    {"a:b:c", NULL, 0, "neither"},
    {"ocsp.example:80:80", NULL, 0, "neither"},
};

static void test_host(void **state)
{
    const url_t *row = *state;
    mtls_fetch_host_t host = {"untouched", -1};

    assert_message(mtls_fetch_parse_host(pool, row->url, &host), row->words);
    assert_string_equal(host.host, row->host ? row->host : "untouched");
    assert_int_equal(host.port, row->host ? row->port : -1);
}

typedef struct allow_t {
    const char *url;
    const char *allowed; /* separated by blanks; NULL: not said */
    int allows;
} allow_t;

static const allow_t allows[] = {
    {"http://ocsp.example/", NULL, 1},
    {"http://127.0.0.1/", NULL, 1},
    {"gopher://ocsp.example/", NULL, 0},
    {"http://ocsp.example/", "", 0},
    {"http://ocsp.example/", "ocsp.example", 1},
    {"https://OCSP.example./x", "ocsp.example", 1},
    {"http://ocsp.example:99/x", "ocsp.example", 1},
    {"http://ocsp.example:99/x", "ocsp.example:99", 1},
    {"http://ocsp.example/x", "ocsp.example:80", 1},
    {"https://ocsp.example/x", "ocsp.example:443", 1},
    {"https://ocsp.example/x", "ocsp.example:80", 0},
    {"http://ocsp.example:8080/", "ocsp.example:80", 0},
    {"http://other.example/", "ocsp.example", 0},
    {"http://ocsp.example.test/", "ocsp.example", 0},
    {"http://a.ocsp.example/", "ocsp.example", 0},
    {"http://ocsp.example/", "other.example ocsp.example:80", 1},
    {"http://[2001:db8:0:0::1]/", "[2001:DB8::1]:80", 1},
    {"http://[2001:db8::2]/", "2001:db8::1", 0},
    {"http://[::ffff:192.0.2.1]/", "192.0.2.1", 0},
    {"http://127.1/", "127.0.0.1", 0},
};

static void test_allows(void **state)
{
    const allow_t *row = *state;
    apr_array_header_t *list = apr_array_make(pool, 2, sizeof(mtls_fetch_host_t));
    mtls_fetch_rules_t rules = {row->allowed ? list : NULL, NULL, NULL};
    char *rest = apr_pstrdup(pool, row->allowed ? row->allowed : ""), *word;

    while ((word = apr_strtok(rest, " ", &rest)) != NULL)
        assert_message(mtls_fetch_parse_host(pool, word, apr_array_push(list)), NULL);
    assert_int_equal(mtls_fetch_allows(&rules, row->url), row->allows);
}

/* ---- addresses ---- */

typedef struct case_t {
    const char *address;
    const char *words; /* NULL: allowed */
    const char *listener;
    const char *own[4];
} case_t;

/* Connected to at port 80; listeners are at port 80 where they say nothing else. */
static const case_t addresses[] = {
    {"192.0.2.1", NULL, NULL, {NULL}},
    {"10.0.0.1", NULL, NULL, {NULL}},
    {"192.168.1.1", NULL, NULL, {NULL}},
    {"126.255.255.255", NULL, NULL, {NULL}},
    {"128.0.0.0", NULL, NULL, {NULL}},
    {"1.0.0.0", NULL, NULL, {NULL}},
    {"169.253.255.255", NULL, NULL, {NULL}},
    {"169.255.0.0", NULL, NULL, {NULL}},
    {"223.255.255.255", NULL, NULL, {NULL}},
    {"240.0.0.1", NULL, NULL, {NULL}},
    {"255.255.255.254", NULL, NULL, {NULL}},
    {"2001:db8::1", NULL, NULL, {NULL}},
    {"fd00::1", NULL, NULL, {NULL}},
    {"fec0::1", NULL, NULL, {NULL}},
    {"fe7f:ffff::1", NULL, NULL, {NULL}},
    {"::ffff:192.0.2.1", NULL, NULL, {NULL}},
    {"64:ff9b::192.0.2.1", NULL, NULL, {NULL}},
    {"2002:c000:201::1", NULL, NULL, {NULL}},
    {"64:ff9c::127.0.0.1", NULL, NULL, {NULL}},
    {"2003:7f00:1::1", NULL, NULL, {NULL}},

    {"0.0.0.0", "this host", NULL, {NULL}},
    {"0.255.255.255", "this host", NULL, {NULL}},
    {"127.0.0.1", "loopback", NULL, {NULL}},
    {"127.255.255.255", "loopback", NULL, {NULL}},
    {"169.254.0.0", "link-local", NULL, {NULL}},
    {"169.254.169.254", "link-local", NULL, {NULL}},
    {"224.0.0.1", "multicast", NULL, {NULL}},
    {"239.255.255.255", "multicast", NULL, {NULL}},
    {"255.255.255.255", "broadcast", NULL, {NULL}},
    {"::", "this host", NULL, {NULL}},
    {"::1", "this host", NULL, {NULL}},
    {"fe80::1", "link-local", NULL, {NULL}},
    {"febf:ffff::1", "link-local", NULL, {NULL}},
    {"ff02::1", "multicast", NULL, {NULL}},
    {"::ffff:127.0.0.1", "loopback", NULL, {NULL}},
    {"::ffff:169.254.169.254", "link-local", NULL, {NULL}},
    {"::ffff:0.0.0.0", "this host", NULL, {NULL}},
    {"::127.0.0.1", "loopback", NULL, {NULL}},
    {"::ffff:0:127.0.0.1", "loopback", NULL, {NULL}},
    {"64:ff9b::127.0.0.1", "loopback", NULL, {NULL}},
    {"64:ff9b::a9fe:a9fe", "link-local", NULL, {NULL}},
    {"64:ff9b:1::127.0.0.1", "loopback", NULL, {NULL}},
    {"64:ff9b:1:2:3:4:127.0.0.1", "loopback", NULL, {NULL}},
    {"2002:7f00:1::1", "loopback", NULL, {NULL}},
    {"2002:a9fe:a9fe::", "link-local", NULL, {NULL}},

    {"192.0.2.1", "own", "192.0.2.1", {NULL}},
    {"192.0.2.1", NULL, "192.0.2.2", {"192.0.2.1"}},
    {"192.0.2.1", NULL, "192.0.2.1:81", {"192.0.2.1"}},
    {"2001:db8::1", "own", "2001:db8::1", {NULL}},
    {"2001:db8::1", NULL, "2001:db8::2", {NULL}},
    {"::ffff:192.0.2.1", "own", "192.0.2.1", {NULL}},
    {"192.0.2.1", "own", "::ffff:192.0.2.1", {NULL}},
    {"64:ff9b::192.0.2.1", "own", "192.0.2.1", {NULL}},
    {"2002:c000:201::5", "own", "192.0.2.1", {NULL}},
    {"2002:c000:201::5", "own", "2002:c000:201::5", {NULL}},
    {"192.0.2.1", "own", "0.0.0.0", {"-", "192.0.2.1"}},
    {"192.0.2.1", "own", "::", {"192.0.2.1", "2001:db8::1"}},
    {"192.0.2.1", "own", "::ffff:0.0.0.0", {"192.0.2.1"}},
    {"192.0.2.1", NULL, "::", {"192.0.2.2", "2001:db8::1"}},
    {"192.0.2.1", NULL, "0.0.0.0:81", {"192.0.2.1"}},
    {"2001:db8::1", "own", "::", {"192.0.2.1", "2001:db8::1"}},
    {"2001:db8::1", "own", "0.0.0.0", {"2001:db8::1"}},
    {"::ffff:192.0.2.1", "own", "0.0.0.0", {"192.0.2.1"}},
    {"64:ff9b::192.0.2.1", "own", "0.0.0.0", {"192.0.2.1"}},
    {"2001:db8::1", NULL, "::", {"-"}},
    {"2001:db8::1", "own", "::", {"fail"}},
    {"2001:db8::1", NULL, "2001:db8::2", {"fail"}},
};

static apr_sockaddr_t *listener_of(const char *text)
{
    apr_sockaddr_t *sa = apr_pcalloc(pool, sizeof(*sa));
    const char *colon = strchr(text, ':');
    int port = 80;

    if (colon && colon == strrchr(text, ':')) {
        port = atoi(colon + 1);
        text = apr_pstrmemdup(pool, text, (apr_size_t)(colon - text));
    }
    if (inet_pton(AF_INET, text, &sa->sa.sin.sin_addr) == 1) {
        sa->sa.sin.sin_family = AF_INET;
        sa->sa.sin.sin_port = htons((in_port_t)port);
    } else {
        assert_int_equal(inet_pton(AF_INET6, text, &sa->sa.sin6.sin6_addr), 1);
        sa->sa.sin6.sin6_family = AF_INET6;
        sa->sa.sin6.sin6_port = htons((in_port_t)port);
    }
    return sa;
}

static void test_address(void **state)
{
    const case_t *row = *state;
    apr_array_header_t *listeners = NULL;

    addresses_fail = row->own[0] && strcmp(row->own[0], "fail") == 0;
    memcpy(own_addresses, row->own, sizeof(own_addresses));
    if (row->listener) {
        listeners = apr_array_make(pool, 2, sizeof(apr_sockaddr_t *));
        APR_ARRAY_PUSH(listeners, apr_sockaddr_t *) = listener_of("203.0.113.1:80");
        APR_ARRAY_PUSH(listeners, apr_sockaddr_t *) = listener_of("203.0.113.2:80");
        APR_ARRAY_IDX(listeners, 1, apr_sockaddr_t *)->next = listener_of(row->listener);
    }
    assert_message(mtls_address_host_refused(row->address, 80, listeners), row->words);
    assert_message(
        mtls_address_refused((struct sockaddr *)&listener_of(row->address)->sa, listeners),
        row->words);
}

static void test_other_families_are_refused(void **state)
{
    struct sockaddr address = {.sa_family = AF_UNIX};

    (void)state;
    assert_message(mtls_address_refused(&address, NULL), "neither");
}

static void test_names_of_this_host(void **state)
{
    (void)state;
    assert_message(mtls_address_host_refused("localhost", 80, NULL), "loopback");
    assert_message(mtls_address_host_refused("LocalHost", 80, NULL), "loopback");
    assert_message(mtls_address_host_refused("a.localhost", 80, NULL), "loopback");
    assert_message(mtls_address_host_refused("alocalhost", 80, NULL), NULL);
    assert_message(mtls_address_host_refused("localhost.example", 80, NULL), NULL);
    assert_message(mtls_address_host_refused("ocsp.example", 80, NULL), NULL);
}

int main(void)
{
    SUITE_TABLE(test_url, urls);
    SUITE_CASE(test_url_of_every_byte);
    SUITE_CASE(test_url_as_long_as_may_be);
    SUITE_TABLE(test_host, hosts);
    SUITE_TABLE(test_allows, allows);
    SUITE_TABLE(test_address, addresses);
    SUITE_CASE(test_other_families_are_refused);
    SUITE_CASE(test_names_of_this_host);
    return suite_run("fetch_url", 180);
}
