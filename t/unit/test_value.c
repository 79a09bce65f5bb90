/* SPDX-License-Identifier: Apache-2.0
 * Copyright The mod_mtls_policy authors */

/* policy/value and policy/measure: text into the form in which it is compared. */

#include "suite.h"

#include "policy/measure.h"
#include "policy/value.h"

#define HEX64  "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"
#define BASE64 "ABEiM0RVZneImaq7zN3u/wARIjNEVWZ3iJmqu8zd7v8="

/* ---- mtls_value_parse: `hex` is the comparable form when it is no text ---- */

static const struct value_row {
    const char *name;
    mtls_kind_t kind;
    const char *text;
    const char *form;
    const char *hex;
    const char *words; /* of the error */
} values[] = {
    {"text stays as it is", MTLS_KIND_TEXT, "Foo  Bar\xc3\xbc ", "Foo  Bar\xc3\xbc ", NULL, NULL},
    {"empty text is a value", MTLS_KIND_TEXT, "", "", NULL, NULL},
    {"URI keeps its case", MTLS_KIND_URI, "HTTPS://A.example/X", "HTTPS://A.example/X", NULL, NULL},
    {"DNS is folded", MTLS_KIND_DNS, "A.Example", "a.example", NULL, NULL},
    {"DNS folds ASCII only", MTLS_KIND_DNS, "\xc3\x84.Example", "\xc3\x84.example", NULL, NULL},
    {"email folds its domain only", MTLS_KIND_EMAIL, "John.Doe@Ex.Example", "John.Doe@ex.example",
     NULL, NULL},
    {"email's domain follows the last at sign", MTLS_KIND_EMAIL, "\"A@B\"@C.example",
     "\"A@B\"@c.example", NULL, NULL},
    {"email without at sign stays", MTLS_KIND_EMAIL, "Root", "Root", NULL, NULL},
    {"trust store's name stays", MTLS_KIND_TRUST, "vhost", "vhost", NULL, NULL},
    {"IPv4 address", MTLS_KIND_IP, "192.0.2.10", NULL, "0420c000020a", NULL},
    {"IPv4 network", MTLS_KIND_IP, "192.0.2.0/24", NULL, "0418c0000200", NULL},
    {"IPv4 network of all", MTLS_KIND_IP, "0.0.0.0/0", NULL, "040000000000", NULL},
    {"IPv4 network of odd length", MTLS_KIND_IP, "192.0.2.128/25", NULL, "0419c0000280", NULL},
    {"IPv6 address", MTLS_KIND_IP, "2001:db8::1", NULL, "108020010db8000000000000000000000001",
     NULL},
    {"IPv6 network", MTLS_KIND_IP, "2001:DB8::/33", NULL, "102120010db8000000000000000000000000",
     NULL},
    {"v4-mapped address is an IPv6 one", MTLS_KIND_IP, "::ffff:192.0.2.10", NULL,
     "108000000000000000000000ffffc000020a", NULL},
    {"host bits in a network", MTLS_KIND_IP, "192.0.2.1/24", NULL, NULL, "behind its prefix"},
    {"host bits in an IPv6 network", MTLS_KIND_IP, "2001:db8::1/64", NULL, NULL,
     "behind its prefix"},
    {"prefix too long", MTLS_KIND_IP, "192.0.2.0/33", NULL, NULL, "longer than the address"},
    {"IPv6 prefix too long", MTLS_KIND_IP, "::/129", NULL, NULL, "longer than the address"},
    {"prefix missing", MTLS_KIND_IP, "192.0.2.0/", NULL, NULL, "CIDR"},
    {"prefix negative", MTLS_KIND_IP, "192.0.2.0/-1", NULL, NULL, "CIDR"},
    {"prefix huge", MTLS_KIND_IP, "192.0.2.0/4294967320", NULL, NULL, "CIDR"},
    {"netmask instead of a prefix", MTLS_KIND_IP, "192.0.2.0/255.255.255.0", NULL, NULL, "CIDR"},
    {"three octets", MTLS_KIND_IP, "192.0.2", NULL, NULL, "CIDR"},
    {"octet too large", MTLS_KIND_IP, "192.0.2.256", NULL, NULL, "CIDR"},
    {"hex octets", MTLS_KIND_IP, "0x7f.0.0.1", NULL, NULL, "CIDR"},
    {"host name as address", MTLS_KIND_IP, "a.example", NULL, NULL, "CIDR"},
    {"address in brackets", MTLS_KIND_IP, "[::1]", NULL, NULL, "CIDR"},
    {"address with zone", MTLS_KIND_IP, "fe80::1%eth0", NULL, NULL, "CIDR"},
    {"address empty", MTLS_KIND_IP, "", NULL, NULL, "CIDR"},
    {"SHA-256 in lower hex", MTLS_KIND_SHA256, HEX64, NULL, HEX64, NULL},
    {"SHA-256 in upper hex with colons", MTLS_KIND_SHA256,
     "00:11:22:33:44:55:66:77:88:99:AA:BB:CC:DD:EE:FF:"
     "00:11:22:33:44:55:66:77:88:99:AA:BB:CC:DD:EE:FF",
     NULL, HEX64, NULL},
    {"SHA-1 is named", MTLS_KIND_SHA256, "00112233445566778899aabbccddeeff00112233", NULL, NULL,
     "SHA-1"},
    {"SHA-256 a digit short", MTLS_KIND_SHA256,
     "00112233445566778899aabbccddeeff00112233445566778899aabbccddeef", NULL, NULL, "64 hex"},
    {"SHA-256 a digit long", MTLS_KIND_SHA256, HEX64 "0", NULL, NULL, "64 hex"},
    {"SHA-256 with blanks", MTLS_KIND_SHA256, " " HEX64, NULL, NULL, "64 hex"},
    {"SHA-256 with a double colon", MTLS_KIND_SHA256,
     "00::112233445566778899aabbccddeeff00112233445566778899aabbccddeeff", NULL, NULL, "64 hex"},
    {"SHA-256 with a colon inside a pair", MTLS_KIND_SHA256,
     "0:0112233445566778899aabbccddeeff00112233445566778899aabbccddeeff", NULL, NULL, "64 hex"},
    {"SHA-256 of a leaf takes no base64", MTLS_KIND_SHA256, BASE64, NULL, NULL, "64 hex"},
    {"pin in hex", MTLS_KIND_PIN, HEX64, NULL, HEX64, NULL},
    {"pin in base64", MTLS_KIND_PIN, BASE64, NULL, HEX64, NULL},
    {"pin in base64 without padding", MTLS_KIND_PIN, "ABEiM0RVZneImaq7zN3u/wARIjNEVWZ3iJmqu8zd7v8",
     NULL, HEX64, NULL},
    {"pin in URL base64", MTLS_KIND_PIN, "ABEiM0RVZneImaq7zN3u_wARIjNEVWZ3iJmqu8zd7v8", NULL, NULL,
     "base64"},
    {"pin too short", MTLS_KIND_PIN, "ABEiM0RV", NULL, NULL, "64 hex|44 base64"},
    {"pin of SHA-1 length", MTLS_KIND_PIN, "ABEiM0RVZneImaq7zN3u/wARIjM=", NULL, NULL, "SHA-256"},
    {"serial in hex", MTLS_KIND_SERIAL, "1F00A3", "1f00a3", NULL, NULL},
    {"serial loses leading zeros", MTLS_KIND_SERIAL, "001F00A3", "1f00a3", NULL, NULL},
    {"serial with colons", MTLS_KIND_SERIAL, "1f:00:a3", "1f00a3", NULL, NULL},
    {"serial of zero", MTLS_KIND_SERIAL, "00", "0", NULL, NULL},
    {"serial negative", MTLS_KIND_SERIAL, "-05", "-5", NULL, NULL},
    {"serial with 0x", MTLS_KIND_SERIAL, "0x1f", NULL, NULL, "hex digits"},
    {"serial empty", MTLS_KIND_SERIAL, "", NULL, NULL, "hex digits"},
    {"serial only a sign", MTLS_KIND_SERIAL, "-", NULL, NULL, "hex digits"},
    {"serial ends with a colon", MTLS_KIND_SERIAL, "1f:", NULL, NULL, "hex digits"},
    {"OID dotted", MTLS_KIND_OID, "1.3.6.1.5.5.7.3.2", "1.3.6.1.5.5.7.3.2", NULL, NULL},
    {"OID by name", MTLS_KIND_OID, "clientAuth", "1.3.6.1.5.5.7.3.2", NULL, NULL},
    {"OID unknown", MTLS_KIND_OID, "clientauthx", NULL, NULL, "OID"},
    {"SPIFFE ID", MTLS_KIND_SPIFFE, "spiffe://td/a/b", "spiffe://td/a/b", NULL, NULL},
    {"SPIFFE ID of a list takes no wildcard", MTLS_KIND_SPIFFE, "spiffe://td/a/*", NULL, NULL,
     "path segment"},
    {"name that is none", MTLS_KIND_NAME, "x", NULL, NULL, "\"=\" is missing"},
    {"a key is no such value", MTLS_KIND_KEY, "rsa", NULL, NULL, "takes no such value"},
    {"an unset kind refuses", MTLS_KIND_NONE, "x", NULL, NULL, "takes no such value"},
};

static void value_case(void **state)
{
    const struct value_row *row = *state;
    mtls_span_t value = {NULL, 0}, reversed = {NULL, 0};
    const char *error = mtls_value_parse(pool, row->kind, row->text, world_oid, &value, &reversed);

    assert_message(error, row->words);
    if (row->form)
        assert_span_text(value, row->form);
    if (row->hex)
        assert_string_equal(mtls_value_hex(pool, value.data, value.len), row->hex);
}

static void only_text_kinds_take_patterns(void **state)
{
    int kind;

    (void)state;
    for (kind = MTLS_KIND_NONE; kind <= MTLS_KIND_EXPR; kind++)
        assert_int_equal(mtls_kind_is_text((mtls_kind_t)kind),
                         kind == MTLS_KIND_TEXT || kind == MTLS_KIND_DNS ||
                             kind == MTLS_KIND_EMAIL || kind == MTLS_KIND_URI);
}

static void network_masks_every_prefix_length(void **state)
{
    char out[MTLS_NETWORK_BYTES];
    int bits, i;

    (void)state;
    for (bits = 0; bits <= 128; bits++) {
        mtls_span_t ones = mtls_span("\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff"
                                     "\xff",
                                     16);
        int set = 0;
        assert_int_equal(mtls_value_network(ones, bits, out), 18);
        assert_int_equal((unsigned char)out[1], bits);
        for (i = 0; i < 128; i++)
            set += ((unsigned char)out[2 + i / 8] >> (7 - i % 8)) & 1;
        assert_int_equal(set, bits);
    }
}

/* ---- keys and durations ---- */

static const mtls_key_t rsa2048 = {"rsa", "", 2048}, rsa3072 = {"rsa", "", 3072},
                        p256 = {"ec", "prime256v1", 256}, p384 = {"ec", "secp384r1", 384},
                        ed25519 = {"ed25519", "", 256}, unknown = {"unknown", "", 0};

static const struct key_row {
    const char *name;
    const char *text;
    const mtls_key_t *key;
    int holds; /* -1: the text is wrong */
} keys[] = {
    {"type alone", "rsa", &rsa2048, 1},
    {"type alone, another", "rsa", &p256, 0},
    {"type in upper case", "RSA>=3072", &rsa3072, 1},
    {"at least, equal", "rsa>=3072", &rsa3072, 1},
    {"at least, below", "rsa>=3072", &rsa2048, 0},
    {"at least, other type", "rsa>=256", &p256, 0},
    {"more, equal", "rsa>3072", &rsa3072, 0},
    {"more, above", "rsa>2048", &rsa3072, 1},
    {"at most", "rsa<=3072", &rsa3072, 1},
    {"less, equal", "rsa<3072", &rsa3072, 0},
    {"EC bits", "ec>=256", &p256, 1},
    {"EC curve", "ec:prime256v1", &p256, 1},
    {"EC other curve", "ec:prime256v1", &p384, 0},
    {"EC curve of another type", "ec:prime256v1", &rsa2048, 0},
    {"Ed25519", "ed25519", &ed25519, 1},
    {"Ed25519 is no EC key", "ec>=256", &ed25519, 0},
    {"unknown key satisfies nothing", "rsa", &unknown, 0},
    {"unknown key satisfies no smallness", "rsa<4096", &unknown, 0},
    {"unknown type in a rule", "unknown", NULL, -1},
    {"empty", "", NULL, -1},
    {"type missing", ">=3072", NULL, -1},
    {"amount missing", "rsa>=", NULL, -1},
    {"comparison missing", "rsa3072", NULL, -1},
    {"equals only", "rsa=3072", NULL, -1},
    {"two equals", "rsa==3072", NULL, -1},
    {"lone equals", "rsa=", NULL, -1},
    {"lone less", "rsa<", NULL, -1},
    {"text behind", "rsa>=3072bits", NULL, -1},
    {"negative", "rsa>=-1", NULL, -1},
    {"amount of ten digits", "rsa>=1000000000", NULL, -1},
    {"curve of an RSA key", "rsa:prime256v1", NULL, -1},
    {"curve missing", "ec:", NULL, -1},
};

static void key_case(void **state)
{
    const struct key_row *row = *state;
    mtls_measure_t m;
    const char *error = mtls_measure_parse_key(pool, row->text, &m);

    assert_message(error, row->holds < 0 ? "a key is written as|rsa>=3072" : NULL);
    if (!error)
        assert_int_equal(mtls_measure_key(&m, row->key), row->holds);
}

static const struct duration_row {
    const char *name;
    const char *text;
    apr_int64_t seconds;
    int holds;
} durations[] = {
    {"at most 90 days, equal", "<=90d", 90 * 86400, 1},
    {"at most 90 days, a second more", "<=90d", 90 * 86400 + 1, 0},
    {"less than", "<90d", 90 * 86400, 0},
    {"at least, equal", ">=12h", 12 * 3600, 1},
    {"at least, a second less", ">=12h", 12 * 3600 - 1, 0},
    {"more than, equal", ">1s", 1, 0},
    {"minutes", ">=2m", 120, 1},
    {"weeks", "<=1w", 7 * 86400, 1},
    {"negative time left", ">=0s", -1, 0},
    {"largest number of weeks", "<=999999999w", APR_INT64_C(604799999395200), 1},
    {"unit missing", ">=90", 0, -1},
    {"unit unknown", ">=90y", 0, -1},
    {"unit twice", ">=90dd", 0, -1},
    {"unit in upper case", ">=90D", 0, -1},
    {"comparison missing", "90d", 0, -1},
    {"number missing", ">=d", 0, -1},
    {"number too long", ">=1000000000s", 0, -1},
    {"blank inside", ">= 90d", 0, -1},
    {"empty", "", 0, -1},
    {"only a comparison", "<", 0, -1},
    {"equals", "=90d", 0, -1},
};

static void duration_case(void **state)
{
    const struct duration_row *row = *state;
    mtls_measure_t m;
    const char *error = mtls_measure_parse_duration(pool, row->text, &m);

    assert_message(error, row->holds < 0 ? "a duration is written as" : NULL);
    if (!error)
        assert_int_equal(mtls_measure_seconds(&m, row->seconds), row->holds);
}

static void a_zeroed_measure_holds_for_nothing(void **state)
{
    mtls_measure_t zero = {NULL, NULL, MTLS_COMPARE_NONE, 0};

    (void)state;
    assert_false(mtls_measure_seconds(&zero, 0));
    zero.type = "rsa";
    assert_false(mtls_measure_key(&zero, &rsa2048));
}

/* The answer of today may not change before the moment it was said to turn. */
static void turns_case(void **state)
{
    static const apr_time_t steps[] = {-2000001, -2000000, -1999999, -1500000, -1000001, -1000000,
                                       -999999,  -500000,  -1,       0,        1,        500000,
                                       999999,   1000000,  1000001,  1999999,  2000000,  2000001};
    const struct duration_row *row = *state;
    const apr_time_t end = WORLD_NOW;
    mtls_measure_t m;
    size_t i, j;

    assert_null(mtls_measure_parse_duration(pool, row->text, &m));
    for (i = 0; i < ROWS(steps); i++) {
        apr_time_t now = end - apr_time_from_sec(m.amount) + steps[i];
        apr_time_t until = mtls_measure_turns(&m, end, now);
        int answer = mtls_measure_seconds(&m, apr_time_sec(end - now));
        assert_true(until > now);
        for (j = i; j < ROWS(steps); j++) {
            apr_time_t later = end - apr_time_from_sec(m.amount) + steps[j];
            if (later < until && later < end && /* from `end` on the chain has expired */
                mtls_measure_seconds(&m, apr_time_sec(end - later)) != answer)
                fail_msg("%s: judged %ld us from the amount, turned %ld us from it, said to hold "
                         "until %ld us",
                         row->text, (long)steps[i], (long)steps[j],
                         (long)(until - end + apr_time_from_sec(m.amount)));
        }
    }
}

static const struct duration_row turning[] = {
    {"turns: at least", ">=7d", 0, 0},         {"turns: more", ">7d", 0, 0},
    {"turns: at most", "<=7d", 0, 0},          {"turns: less", "<7d", 0, 0},
    {"turns: more than nothing", ">0s", 0, 0}, {"turns: at least nothing", ">=0s", 0, 0},
};

static void turns_never_comes_when_the_moment_is_long_past(void **state)
{
    mtls_measure_t m;

    (void)state;
    assert_null(mtls_measure_parse_duration(pool, ">=7d", &m));
    assert_true(mtls_measure_turns(&m, WORLD_NOW, WORLD_NOW) == MTLS_FOREVER);
    assert_true(mtls_measure_turns(&m, WORLD_NOW, WORLD_NOW - 8 * WORLD_DAYS) <=
                WORLD_NOW - 7 * WORLD_DAYS);
}

int main(void)
{
    SUITE_TABLE(value_case, values);
    SUITE_CASE(only_text_kinds_take_patterns);
    SUITE_CASE(network_masks_every_prefix_length);
    SUITE_TABLE(key_case, keys);
    SUITE_TABLE(duration_case, durations);
    SUITE_CASE(a_zeroed_measure_holds_for_nothing);
    SUITE_TABLE(turns_case, turning);
    SUITE_CASE(turns_never_comes_when_the_moment_is_long_past);
    return suite_run("value", 120);
}
