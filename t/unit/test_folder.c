/* SPDX-License-Identifier: Apache-2.0
 * Copyright The mod_mtls_policy authors */

/* ocsp/folder: real files in a folder of the test's own; what the system says of them is changed
 * here and there by functions of this file. */

#include "suite.h"

#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <openssl/x509v3.h>

#include "ocsp.h"
#include "ocsp/folder.h"
#include "ocsp/folder_index.h"
#include "policy/limits.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define CHANGES 300
#else
#define CHANGES 3000
#endif

/* ---- the system ---- */

typedef int (*openat_fn)(int, const char *, int, ...);
typedef int (*fstatat_fn)(int, const char *, struct stat *, int);
typedef ssize_t (*read_fn)(int, void *, size_t);
typedef struct dirent *(*readdir_fn)(DIR *);

int openat(int dir, const char *name, int flags, ...);
int fstatat(int dir, const char *name, struct stat *info, int flags);
ssize_t read(int fd, void *to, size_t len);
struct dirent *readdir(DIR *dir);

static int opened, open_fails, open_takes, read_fails, read_in_pieces, readdir_fails_after;
static int made_up;           /* so many names besides, all of the file "real" */
static void (*on_read)(void); /* once, before a file is read */
static const char *gone;      /* a name the folder says that is not there */

static const char *real_name(const char *name)
{
    return strncmp(name, "made-up-", 8) == 0 ? "real" : name;
}

int openat(int dir, const char *name, int flags, ...)
{
    static openat_fn real;

    if (!real)
        real = (openat_fn)dlsym(RTLD_NEXT, "openat");
    opened++;
    if (open_takes)
        usleep((useconds_t)open_takes);
    if (open_fails) {
        errno = open_fails;
        return -1;
    }
    return real(dir, real_name(name), flags);
}

int fstatat(int dir, const char *name, struct stat *info, int flags)
{
    static fstatat_fn real;

    if (!real)
        real = (fstatat_fn)dlsym(RTLD_NEXT, "fstatat");
    return real(dir, real_name(name), info, flags);
}

ssize_t read(int fd, void *to, size_t len)
{
    static read_fn real;
    void (*hook)(void) = on_read;

    if (!real)
        real = (read_fn)dlsym(RTLD_NEXT, "read");
    on_read = NULL;
    if (hook)
        hook();
    if (read_fails) {
        errno = read_fails;
        return -1;
    }
    if (read_in_pieces && read_in_pieces++ % 2) {
        errno = EINTR;
        return -1;
    }
    return real(fd, to, read_in_pieces && len > 7 ? 7 : len);
}

struct dirent *readdir(DIR *dir)
{
    static struct dirent entry;
    static int left, in_use;
    static readdir_fn real;
    struct dirent *found;

    if (!real)
        real = (readdir_fn)dlsym(RTLD_NEXT, "readdir");
    if (!in_use) {
        in_use = 1;
        left = made_up;
    }
    if (readdir_fails_after && --readdir_fails_after == 0) {
        errno = EIO;
        in_use = 0;
        return NULL;
    }
    if (left > 0) {
        snprintf(entry.d_name, sizeof(entry.d_name), "made-up-%d.der", left--);
        return &entry;
    }
    if (gone) {
        snprintf(entry.d_name, sizeof(entry.d_name), "%s", gone);
        gone = NULL;
        return &entry;
    }
    found = real(dir);
    in_use = found != NULL;
    return found;
}

/* ---- files ---- */

static char *place;
static apr_time_t touched; /* of the next file */
static issuer_t root;

/* A second later than the one before, so that no two changes look alike. */
static void touch(const char *path)
{
    const struct timespec times[2] = {{touched / APR_USEC_PER_SEC, 0},
                                      {touched / APR_USEC_PER_SEC, 0}};

    assert_int_equal(utimensat(AT_FDCWD, path, times, 0), 0);
    touched += APR_USEC_PER_SEC;
}

static const char *path_of(const char *name)
{
    return apr_pstrcat(pool, place, "/", name, NULL);
}

static void write_file(const char *name, mtls_span_t bytes)
{
    const char *path = path_of(name);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0644);

    assert_true(fd >= 0);
    assert_int_equal(write(fd, bytes.data, bytes.len), bytes.len);
    assert_int_equal(close(fd), 0);
    touch(path);
}

/* The usual way to replace a file. */
static void rename_over(const char *name, mtls_span_t bytes)
{
    write_file("new", bytes);
    assert_int_equal(rename(path_of("new"), path_of(name)), 0);
}

static void clean(const char *folder)
{
    DIR *dir = opendir(folder);
    const struct dirent *entry;

    while (dir && (entry = readdir(dir)) != NULL) {
        const char *path = apr_pstrcat(pool, folder, "/", entry->d_name, NULL);
        struct stat info;
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        if (lstat(path, &info) == 0 && S_ISDIR(info.st_mode))
            clean(path);
        else
            unlink(path);
    }
    if (dir)
        closedir(dir);
    rmdir(folder);
}

static apr_status_t clean_up(void *baton)
{
    opened = open_fails = open_takes = read_fails = read_in_pieces = readdir_fails_after = made_up =
        0;
    on_read = NULL;
    gone = NULL;
    memset(&root, 0, sizeof(root));
    clean(baton);
    return APR_SUCCESS;
}

/* ---- a folder ---- */

static mtls_folder_t *folder;
static int told;
static char told_file[300];
static const char *told_error;
static apr_time_t now;

static void on_tell(void *baton, const char *file, const char *error)
{
    assert_ptr_equal(baton, &told);
    told++;
    snprintf(told_file, sizeof(told_file), "%s", file);
    told_error = error;
}

static issuer_t ca(int key)
{
    static const certificate_t spec = {.subject = {{"CN", 0, "Root", 0, 0}},
                                       .extensions = {"basicConstraints=critical,CA:TRUE"}};
    certificate_t of_key = spec;
    issuer_t issuer;

    of_key.key = key;
    issuer.x = certificate_make(pool, &of_key, NULL);
    issuer.key = key_get(KEY_P256, key);
    return issuer;
}

/* All files are from an hour ago as far as their own times say; ctime is of now. */
static void begin(void)
{
    const char *dir = getenv("TMPDIR");

    place = apr_psprintf(pool, "%s/mtls-folder-XXXXXX", dir ? dir : "/tmp");
    assert_non_null(mkdtemp(place));
    apr_pool_cleanup_register(pool, place, clean_up, apr_pool_cleanup_null);
    told = 0;
    now = apr_time_now() + apr_time_from_sec(60);
    touched = now - apr_time_from_sec(3600);
    root = ca(0);
    folder = mtls_folder_make(pool, place, on_tell, &told);
    assert_int_equal(told, 0);
}

static mtls_span_t response_by(const issuer_t *by, const char *serial, int hash)
{
    const ocsp_statement_t statement = {.serial = serial, .hash = hash};
    const ocsp_t spec = {.signer = by, .statements = &statement, .n = 1};

    return ocsp_make(pool, &spec);
}

static mtls_span_t response(const char *serial)
{
    return response_by(&root, serial, 0);
}

static apr_array_header_t *find_of(X509 *issuer, const char *serial)
{
    BIGNUM *number = NULL;
    ASN1_INTEGER *integer;
    apr_array_header_t *found;
    mtls_ocsp_subject_t subject = {NULL, issuer, NULL};

    assert_true(BN_hex2bn(&number, serial) > 0);
    subject.serial = integer = BN_to_ASN1_INTEGER(number, NULL);
    found = mtls_folder_find(folder, pool, &subject);
    ASN1_INTEGER_free(integer);
    BN_free(number);
    return found;
}

static apr_array_header_t *find(const char *serial)
{
    return find_of(root.x, serial);
}

static void expect_none(const char *serial)
{
    assert_int_equal(find(serial)->nelts, 0);
}

static void expect_one(const char *serial, mtls_span_t bytes)
{
    apr_array_header_t *found = find(serial);

    assert_int_equal(found->nelts, 1);
    assert_span_equal(APR_ARRAY_IDX(found, 0, mtls_span_t), bytes);
}

static void look(int changed)
{
    const int seen = mtls_folder_look(folder, now);

    if (seen != changed)
        fail_msg("changed: %d, expected %d; %d files opened, %d times told: %s", seen, changed,
                 opened, told, told ? told_error : "-");
    now += apr_time_from_sec(1);
}

static void expect_told(int times, const char *name, const char *words)
{
    assert_int_equal(told, times);
    assert_string_equal(told_file, *name ? path_of(name) : place);
    assert_message(told_error, words);
}

/* ---- what is found ---- */

static void test_found_by_either_hash(void **state)
{
    mtls_span_t a, b;

    (void)state;
    begin();
    write_file("a.der", a = response("0a"));
    write_file("b.der", b = response_by(&root, "0b", NID_sha1));
    expect_none("0a");
    look(1);
    expect_one("0a", a);
    expect_one("0b", b);
    expect_none("0c");
    look(0);
    expect_one("0a", a);
    assert_int_equal(told, 0);
}

static void test_another_issuer_of_the_same_name(void **state)
{
    issuer_t other;

    (void)state;
    begin();
    other = ca(1);
    write_file("a.der", response("0a"));
    look(1);
    assert_int_equal(find("0a")->nelts, 1);
    assert_int_equal(find_of(other.x, "0a")->nelts, 0);
}

static void test_a_response_of_many_statements(void **state)
{
    const ocsp_statement_t statements[] = {
        {.serial = "0a"}, {.serial = "0a", .hash = NID_sha1}, {.serial = "0b"}, {.serial = "0a"}};
    ocsp_t spec = {.signer = &root, .statements = statements, .n = ROWS(statements)};
    mtls_span_t bytes;

    (void)state;
    begin();
    bytes = ocsp_make(pool, &spec);
    write_file("a.der", bytes);
    look(1);
    expect_one("0a", bytes);
    expect_one("0b", bytes);
}

/* Certificates are not looked at, and whatever they are, the bytes stay as they were. */
static void test_a_response_with_certificates(void **state)
{
    const ocsp_statement_t statement = {.serial = "0a"};
    ocsp_t spec = {.signer = &root, .statements = &statement, .n = 1};
    mtls_span_t with, without, damaged, der;
    const char *head;

    (void)state;
    begin();
    without = ocsp_make(pool, &spec);
    spec.certificates[0] = spec.certificates[1] = root.x;
    with = ocsp_make(pool, &spec);
    assert_true(with.len > without.len + 400);
    damaged = mtls_span_copy(pool, with);
    memset((char *)(uintptr_t)damaged.data + with.len - 300, 0xff, 300);
    write_file("a.der", with);
    look(1);
    expect_one("0a", with);
    write_file("a.der", damaged);
    look(1);
    expect_one("0a", damaged);
    write_file("a.der", mtls_span(with.data, with.len - 1));
    look(0);
    assert_int_equal(told, 1);
    /* What follows the signature are certificates, or it is no response. */
    der = certificate_der(pool, root.x);
    head = memmem(with.data, with.len, der.data, der.len);
    assert_non_null(head);
    assert_int_equal((unsigned char)head[-8], 0xa0);
    damaged = mtls_span_copy(pool, with);
    *((char *)(uintptr_t)damaged.data + (head - with.data) - 8) = (char)0xa1;
    write_file("a.der", damaged);
    look(0);
    assert_int_equal(told, 2);
}

/* Exactly as many bytes as there are, for sanitizers. */
static const char *add_copy(mtls_folder_index_t *index, mtls_span_t bytes, mtls_indexed_t **added)
{
    char *copy = malloc(bytes.len ? bytes.len : 1);
    const char *error;

    assert_non_null(copy);
    memcpy(copy, bytes.data, bytes.len);
    error = mtls_folder_index_add(index, mtls_span(copy, bytes.len), 0, added);
    free(copy);
    return error;
}

static void test_bytes_that_are_damaged(void **state)
{
    const ocsp_statement_t statement = {.serial = "0a"};
    ocsp_t spec = {.signer = &root, .statements = &statement, .n = 1};
    mtls_folder_index_t *index;
    mtls_indexed_t *added;
    mtls_span_t whole_one;
    char *bytes;
    apr_size_t i;
    int bit;

    (void)state;
    begin();
    spec.certificates[0] = root.x;
    whole_one = ocsp_make(pool, &spec);
    index = mtls_folder_index_make(pool);
    for (i = 0; i < whole_one.len; i++)
        assert_non_null(add_copy(index, mtls_span(whole_one.data, i), &added));
    bytes = apr_pmemdup(pool, whole_one.data, whole_one.len + 1);
    assert_non_null(add_copy(index, mtls_span(bytes, whole_one.len + 1), &added));
    for (i = 0; i < whole_one.len * 8; i++) {
        bit = 1 << (i % 8);
        bytes[i / 8] = (char)(bytes[i / 8] ^ bit);
        if (add_copy(index, mtls_span(bytes, whole_one.len), &added) == NULL)
            assert_span_equal(mtls_folder_index_bytes(added), mtls_span(bytes, whole_one.len));
        mtls_folder_index_remove(index, added);
        bytes[i / 8] = (char)(bytes[i / 8] ^ bit);
    }
    assert_int_equal(mtls_folder_index_size(index), 0);
    assert_null(add_copy(index, whole_one, &added));
    assert_int_equal(mtls_folder_index_size(index), whole_one.len);
}

static void test_the_latest_file_first(void **state)
{
    const ocsp_statement_t other = {.serial = "0a", .status = V_OCSP_CERTSTATUS_REVOKED};
    ocsp_t spec = {.signer = &root, .statements = &other, .n = 1};
    apr_array_header_t *found;
    mtls_span_t old, new;

    (void)state;
    begin();
    old = response("0a");
    new = ocsp_make(pool, &spec);
    write_file("b.der", old);
    write_file("a.der", new);
    look(1);
    found = find("0a");
    assert_int_equal(found->nelts, 2);
    assert_span_equal(APR_ARRAY_IDX(found, 0, mtls_span_t), new);
    assert_span_equal(APR_ARRAY_IDX(found, 1, mtls_span_t), old);
}

static void test_so_many_of_one_certificate(void **state)
{
    mtls_span_t latest;
    int i;

    (void)state;
    begin();
    for (i = 0; i < MTLS_MAX_FOLDER_RESPONSES + 5; i++)
        write_file(apr_psprintf(pool, "%d.der", i), latest = response("0a"));
    look(1);
    assert_int_equal(find("0a")->nelts, MTLS_MAX_FOLDER_RESPONSES);
    assert_span_equal(APR_ARRAY_IDX(find("0a"), 0, mtls_span_t), latest);
}

typedef struct name_t {
    const char *name;
    int counts;
} name_t;

static const name_t names[] = {
    {"a.der", 1},     {"a b\n.der", 1},   {"\xff.der", 1}, {"a.b.der", 1},
    {".der", 0},      {".hidden.der", 0}, {"a.DER", 0},    {"a.der~", 0},
    {"a.der.swp", 0}, {"der", 0},         {"a.pem", 0},    {"ader", 0},
};

static void test_name(void **state)
{
    const name_t *row = *state;

    begin();
    write_file(row->name, response("0a"));
    look(row->counts);
    assert_int_equal(find("0a")->nelts, row->counts);
    assert_int_equal(told, 0);
}

/* ---- what is no good ---- */

static void test_bad_file(mtls_span_t bytes, const char *words)
{
    const mtls_span_t good = response("0a");

    write_file("good.der", good);
    write_file("a.der", bytes);
    look(1);
    expect_told(1, "a.der", words);
    expect_one("0a", good);
    look(0);
    assert_int_equal(told, 1);
    touch(path_of("a.der"));
    look(0);
    expect_told(2, "a.der", words);
    write_file("a.der", response("0b"));
    look(1);
    assert_int_equal(find("0b")->nelts, 1);
    assert_int_equal(told, 2);
}

static void test_garbage(void **state)
{
    (void)state;
    begin();
    test_bad_file(mtls_span_of("garbage"), "");
}

static void test_empty(void **state)
{
    (void)state;
    begin();
    test_bad_file(mtls_span_of(""), "");
}

static void test_cut_off(void **state)
{
    mtls_span_t bytes;

    (void)state;
    begin();
    bytes = response("0c");
    test_bad_file(mtls_span(bytes.data, bytes.len - 1), "");
}

static void test_an_error_response(void **state)
{
    (void)state;
    begin();
    test_bad_file(ocsp_error(pool, OCSP_RESPONSE_STATUS_TRYLATER), "");
}

static void test_of_another_hash(void **state)
{
    (void)state;
    begin();
    test_bad_file(response_by(&root, "0c", NID_sha384), "SHA-256 or SHA-1");
}

static void test_too_large(void **state)
{
    char *bytes = apr_pcalloc(pool, MTLS_MAX_OCSP_BYTES + 1);

    (void)state;
    begin();
    test_bad_file(mtls_span(bytes, MTLS_MAX_OCSP_BYTES + 1), "larger");
}

static void test_largest(void **state)
{
    char *bytes = apr_pcalloc(pool, MTLS_MAX_OCSP_BYTES);

    (void)state;
    begin();
    write_file("a.der", mtls_span(bytes, MTLS_MAX_OCSP_BYTES));
    look(0);
    assert_int_equal(opened, 1); /* it was read, and is garbage */
    assert_int_equal(told, 1);
}

static void test_what_is_no_file(void **state)
{
    (void)state;
    begin();
    assert_int_equal(mkdir(path_of("a.der"), 0755), 0);
    look(0);
    expect_told(1, "a.der", "regular");
    assert_int_equal(mkfifo(path_of("b.der"), 0644), 0);
    look(0);
    expect_told(2, "b.der", "regular");
    look(0);
    assert_int_equal(told, 2);
    assert_int_equal(opened, 0);
}

static void test_a_link_that_leads_nowhere(void **state)
{
    (void)state;
    begin();
    assert_int_equal(symlink("nobody", path_of("a.der")), 0);
    look(0);
    look(0);
    expect_told(1, "a.der", "cannot be looked at");
    write_file("nobody", response("0a"));
    look(1);
    assert_int_equal(find("0a")->nelts, 1);
    assert_int_equal(unlink(path_of("nobody")), 0);
    look(0);
    expect_told(2, "a.der", "cannot be looked at");
    assert_int_equal(find("0a")->nelts, 1);
    assert_int_equal(unlink(path_of("a.der")), 0);
    look(1);
    expect_none("0a");
}

static void test_no_right_to_read(void **state)
{
    (void)state;
    begin();
    write_file("a.der", response("0a"));
    open_fails = EACCES;
    look(0);
    expect_told(1, "a.der", "cannot be read");
    look(0);
    assert_int_equal(told, 1);
    assert_int_equal(opened, 1);
    open_fails = 0;
    touch(path_of("a.der"));
    look(1);
    assert_int_equal(find("0a")->nelts, 1);
}

/* What is no fault of the file passes. */
static void test_no_descriptor_is_left(void **state)
{
    (void)state;
    begin();
    write_file("a.der", response("0a"));
    open_fails = EMFILE;
    look(0);
    look(0);
    expect_told(1, "a.der", "cannot be read");
    open_fails = 0;
    read_fails = EIO;
    look(0);
    assert_int_equal(told, 1);
    read_fails = 0;
    read_in_pieces = 1;
    look(1);
    assert_int_equal(find("0a")->nelts, 1);
    assert_int_equal(told, 1);
}

/* ---- what changes ---- */

static void test_written_in_place(void **state)
{
    mtls_span_t b;

    (void)state;
    begin();
    write_file("a.der", response("0a"));
    look(1);
    write_file("a.der", b = response("0b"));
    look(1);
    expect_none("0a");
    expect_one("0b", b);
}

static void test_renamed_over(void **state)
{
    mtls_span_t b;

    (void)state;
    begin();
    write_file("a.der", response("0a"));
    look(1);
    rename_over("a.der", b = response("0b"));
    look(1);
    expect_none("0a");
    expect_one("0b", b);
}

static void test_of_the_same_size_and_time(void **state)
{
    mtls_span_t b;

    (void)state;
    begin();
    write_file("a.der", response("0a"));
    look(1);
    touched -= APR_USEC_PER_SEC;
    rename_over("a.der", b = response("0b"));
    look(1);
    expect_none("0a");
    expect_one("0b", b);
}

/* As Kubernetes mounts a ConfigMap: everything changes at once, by one link. */
static void test_link_is_swapped(void **state)
{
    mtls_span_t new;

    (void)state;
    begin();
    assert_int_equal(mkdir(path_of("..1"), 0755), 0);
    assert_int_equal(mkdir(path_of("..2"), 0755), 0);
    write_file("..1/a.der", response("0a"));
    write_file("..1/b.der", response("0b"));
    write_file("..2/a.der", new = response("0c"));
    assert_int_equal(symlink("..1", path_of("..data")), 0);
    assert_int_equal(symlink("..data/a.der", path_of("a.der")), 0);
    assert_int_equal(symlink("..data/b.der", path_of("b.der")), 0);
    look(1);
    assert_int_equal(find("0a")->nelts, 1);
    assert_int_equal(find("0b")->nelts, 1);
    assert_int_equal(symlink("..2", path_of("..tmp")), 0);
    assert_int_equal(rename(path_of("..tmp"), path_of("..data")), 0);
    assert_int_equal(unlink(path_of("b.der")), 0);
    look(1);
    expect_none("0a");
    expect_none("0b");
    expect_one("0c", new);
    assert_int_equal(told, 0);
}

static void test_touched_only(void **state)
{
    (void)state;
    begin();
    write_file("a.der", response("0a"));
    look(1);
    touch(path_of("a.der"));
    look(0);
    assert_int_equal(opened, 2);
    assert_int_equal(find("0a")->nelts, 1);
}

static void test_removed(void **state)
{
    mtls_span_t b;

    (void)state;
    begin();
    write_file("a.der", response("0a"));
    write_file("b.der", b = response("0a"));
    look(1);
    assert_int_equal(find("0a")->nelts, 2);
    assert_int_equal(unlink(path_of("a.der")), 0);
    look(1);
    expect_one("0a", b);
    assert_int_equal(unlink(path_of("b.der")), 0);
    look(1);
    expect_none("0a");
    look(0);
    write_file("b.der", b);
    look(1);
    expect_one("0a", b);
    assert_int_equal(told, 0);
}

static void test_a_bad_file_that_is_removed_changes_nothing(void **state)
{
    (void)state;
    begin();
    write_file("a.der", mtls_span_of("garbage"));
    look(0);
    assert_int_equal(unlink(path_of("a.der")), 0);
    look(0);
    assert_int_equal(told, 1);
}

static void test_gone_since_the_folder_named_it(void **state)
{
    (void)state;
    begin();
    write_file("a.der", response("0a"));
    look(1);
    assert_int_equal(unlink(path_of("a.der")), 0);
    gone = "a.der";
    look(1);
    expect_none("0a");
    assert_int_equal(told, 0);
}

static void test_last_good_stays(void **state)
{
    mtls_span_t a, b;

    (void)state;
    begin();
    write_file("a.der", a = response("0a"));
    look(1);
    write_file("a.der", mtls_span_of("garbage"));
    look(0);
    expect_told(1, "a.der", "");
    expect_one("0a", a);
    look(0);
    assert_int_equal(told, 1);
    write_file("a.der", mtls_span_of("other garbage"));
    look(0);
    assert_int_equal(told, 2);
    expect_one("0a", a);
    assert_int_equal(unlink(path_of("a.der")), 0);
    assert_int_equal(mkdir(path_of("a.der"), 0755), 0);
    look(0);
    expect_told(3, "a.der", "regular");
    expect_one("0a", a);
    assert_int_equal(rmdir(path_of("a.der")), 0);
    write_file("a.der", b = response("0b"));
    look(1);
    expect_none("0a");
    expect_one("0b", b);
    write_file("a.der", mtls_span_of("garbage"));
    look(0);
    assert_int_equal(told, 4);
    assert_int_equal(unlink(path_of("a.der")), 0);
    look(1);
    expect_none("0b");
}

/* ---- what is being written to ---- */

static void test_touched_a_moment_ago(void **state)
{
    struct stat info;

    (void)state;
    begin();
    write_file("a.der", response("0a"));
    assert_int_equal(stat(path_of("a.der"), &info), 0);
    now = apr_time_from_sec((apr_time_t)info.st_ctim.tv_sec) + info.st_ctim.tv_nsec / 1000;
    now += apr_time_from_msec(249);
    assert_int_equal(mtls_folder_look(folder, now), 0);
    assert_int_equal(opened, 0);
    expect_none("0a");
    now += apr_time_from_msec(1);
    assert_int_equal(mtls_folder_look(folder, now), 1);
    assert_int_equal(find("0a")->nelts, 1);
}

/* A clock that was set back, or another machine's. */
static void test_touched_in_the_future(void **state)
{
    (void)state;
    begin();
    touched = now + apr_time_from_sec(100000);
    write_file("a.der", response("0a"));
    assert_int_equal(mtls_folder_look(folder, now), 0);
    assert_int_equal(mtls_folder_look(folder, now + apr_time_from_msec(249)), 0);
    write_file("a.der", response("0b"));
    assert_int_equal(mtls_folder_look(folder, now + apr_time_from_msec(250)), 0);
    assert_int_equal(mtls_folder_look(folder, now + apr_time_from_msec(499)), 0);
    assert_int_equal(opened, 0);
    assert_int_equal(mtls_folder_look(folder, now + apr_time_from_msec(500)), 1);
    expect_none("0a");
    assert_int_equal(find("0b")->nelts, 1);
}

static void test_clock_set_back_while_watching(void **state)
{
    (void)state;
    begin();
    touched = now + apr_time_from_sec(100000);
    write_file("a.der", response("0a"));
    assert_int_equal(mtls_folder_look(folder, now), 0);
    now -= apr_time_from_sec(50000);
    assert_int_equal(mtls_folder_look(folder, now), 0);
    assert_int_equal(mtls_folder_look(folder, now + apr_time_from_msec(250)), 1);
}

static mtls_span_t half, whole;

static void write_more(void)
{
    write_file("a.der", whole);
}

static void shorten(void)
{
    write_file("a.der", half);
}

static void test_written_while_it_is_read(void **state)
{
    (void)state;
    begin();
    whole = response("0a");
    half = mtls_span(whole.data, whole.len / 2);
    write_file("a.der", half);
    on_read = write_more;
    look(0);
    assert_int_equal(told, 0);
    look(1);
    expect_one("0a", whole);
    touch(path_of("a.der"));
    on_read = shorten;
    look(0);
    assert_int_equal(told, 0);
    look(0);
    assert_int_equal(told, 1);
    expect_one("0a", whole);
}

/* ---- the folder ---- */

static void test_no_folder(void **state)
{
    const char *away;

    (void)state;
    begin();
    away = apr_pstrcat(pool, place, "-away", NULL);
    apr_pool_cleanup_register(pool, away, clean_up, apr_pool_cleanup_null);
    write_file("a.der", response("0a"));
    assert_int_equal(rename(place, away), 0);
    look(0);
    look(0);
    expect_told(1, "", "cannot be opened");
    assert_int_equal(rename(away, place), 0);
    look(1);
    assert_int_equal(rename(place, away), 0);
    look(0);
    look(0);
    expect_told(2, "", "cannot be opened");
    assert_int_equal(find("0a")->nelts, 1);
    assert_int_equal(rename(away, place), 0);
    look(0);
    assert_int_equal(told, 2);
    assert_int_equal(opened, 1);
}

static void test_folder_that_cannot_be_read_to_its_end(void **state)
{
    (void)state;
    begin();
    write_file("a.der", response("0a"));
    look(1);
    readdir_fails_after = 1;
    look(0);
    expect_told(1, "", "to its end");
    assert_int_equal(find("0a")->nelts, 1);
    readdir_fails_after = 1;
    look(0);
    assert_int_equal(told, 1);
    look(0);
    assert_int_equal(find("0a")->nelts, 1);
    readdir_fails_after = 1;
    look(0);
    assert_int_equal(told, 2);
}

static void test_nothing_is_read_twice(void **state)
{
    int i;

    (void)state;
    begin();
    for (i = 0; i < 20; i++)
        write_file(apr_psprintf(pool, "%d.der", i), i % 2 ? response("0a") : mtls_span_of("x"));
    look(1);
    assert_int_equal(opened, 20);
    assert_int_equal(told, 10);
    for (i = 0; i < 5; i++)
        look(0);
    assert_int_equal(opened, 20);
    assert_int_equal(told, 10);
}

/* Files that are still being written to are counted, and need not be read for that. */
static void test_too_many_files(void **state)
{
    (void)state;
    begin();
    touched = now + apr_time_from_sec(100000);
    write_file("real", response("0a"));
    made_up = MTLS_MAX_FOLDER_FILES;
    look(0);
    assert_int_equal(told, 0);
    folder = mtls_folder_make(pool, place, on_tell, &told);
    made_up++;
    look(0);
    expect_told(1, "", "too many files");
}

/* The first look reads all; later ones leave something for the next, whatever comes at once. */
static void test_many_new_files_at_once(void **state)
{
    int looks = 0;

    (void)state;
    begin();
    look(0);
    write_file("real", response("0a"));
    made_up = 500;
    open_takes = 1000;
    look(1);
    assert_in_range(opened, 1, 200);
    for (; looks < 10000 && opened < 500; looks++)
        (void)mtls_folder_look(folder, now);
    look(0);
    assert_int_equal(opened, 500);
}

/* ---- memory ---- */

static size_t in_use(void)
{
    return mallinfo2().uordblks;
}

/* The pool of the folder lives on; what the test itself takes is given back each time. */
static void test_memory_does_not_grow(void **state)
{
    apr_pool_t *const all = pool, *each;
    mtls_span_t bytes;
    size_t before = 0, after;
    int i;

    (void)state;
    begin();
    apr_pool_create(&each, all);
    pool = each;
    for (i = 0; i < CHANGES; i++) {
        if (i == CHANGES / 3)
            before = in_use();
        bytes = i % 7 ? response(apr_psprintf(pool, "%08x", i + 1)) : mtls_span_of("x");
        write_file(i % 3 ? "a.der" : "b.der", bytes);
        if (i % 5 == 0)
            unlink(path_of(i % 2 ? "a.der" : "b.der"));
        (void)mtls_folder_look(folder, now++);
        apr_pool_clear(each);
    }
    after = in_use();
    pool = all;
    assert_true(told > CHANGES / 20);
    assert_in_range(after, 0, before + 64 * 1024);
}

int main(void)
{
    SUITE_CASE(test_found_by_either_hash);
    SUITE_CASE(test_another_issuer_of_the_same_name);
    SUITE_CASE(test_a_response_of_many_statements);
    SUITE_CASE(test_a_response_with_certificates);
    SUITE_CASE(test_bytes_that_are_damaged);
    SUITE_CASE(test_the_latest_file_first);
    SUITE_CASE(test_so_many_of_one_certificate);
    SUITE_TABLE(test_name, names);
    SUITE_CASE(test_garbage);
    SUITE_CASE(test_empty);
    SUITE_CASE(test_cut_off);
    SUITE_CASE(test_an_error_response);
    SUITE_CASE(test_of_another_hash);
    SUITE_CASE(test_too_large);
    SUITE_CASE(test_largest);
    SUITE_CASE(test_what_is_no_file);
    SUITE_CASE(test_a_link_that_leads_nowhere);
    SUITE_CASE(test_no_right_to_read);
    SUITE_CASE(test_no_descriptor_is_left);
    SUITE_CASE(test_written_in_place);
    SUITE_CASE(test_renamed_over);
    SUITE_CASE(test_of_the_same_size_and_time);
    SUITE_CASE(test_link_is_swapped);
    SUITE_CASE(test_touched_only);
    SUITE_CASE(test_removed);
    SUITE_CASE(test_a_bad_file_that_is_removed_changes_nothing);
    SUITE_CASE(test_gone_since_the_folder_named_it);
    SUITE_CASE(test_last_good_stays);
    SUITE_CASE(test_touched_a_moment_ago);
    SUITE_CASE(test_touched_in_the_future);
    SUITE_CASE(test_clock_set_back_while_watching);
    SUITE_CASE(test_written_while_it_is_read);
    SUITE_CASE(test_no_folder);
    SUITE_CASE(test_folder_that_cannot_be_read_to_its_end);
    SUITE_CASE(test_nothing_is_read_twice);
    SUITE_CASE(test_too_many_files);
    SUITE_CASE(test_many_new_files_at_once);
    SUITE_CASE(test_memory_does_not_grow);
    return suite_run("folder", 45);
}
