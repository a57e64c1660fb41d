/* Load generator: TLS 1.3 connections over epoll, one request each, or many on open ones.
 *
 * Prints one JSON object. In quote mode each connection gets evidence of its own: report
 * data = SHA-512(label || exporter || rest) is written into a template quote, which is
 * signed with the platform's attestation key and posted as base64 inside a JSON body.
 * Built by common.py against OpenSSL or BoringSSL, whose client needs half the time.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

enum { MAX_CONTEXTS = 64, MAX_CONNECTIONS = 512, MAX_REQUEST = 65536, MAX_ANSWER = 1 << 18 };
enum state { CONNECTING, HANDSHAKE, WRITING, READING };

struct connection {
    int fd;
    enum state state;
    SSL *ssl;
    double started;
    char *request;
    size_t request_len, written;
    char *answer;
    size_t answer_len, answer_total;
};

struct blob {
    unsigned char *data;
    size_t len;
};

static SSL_CTX *contexts[MAX_CONTEXTS];
static int context_count, next_context;
static struct sockaddr_in where;
static int epoll_fd, keep_alive;
static struct blob request, quote, before, after, rest;
static const char *exporter_label, *digest_label;
static size_t signed_len, report_at, signature_at;
static EVP_PKEY *attestation_key;
static const char *path = "/";
static long done, failed;
static double *latencies;
static size_t latency_count, latency_room;

static void die(const char *what) {
    fprintf(stderr, "load: %s: %s\n", what, errno ? strerror(errno) : "failed");
    ERR_print_errors_fp(stderr);
    exit(1);
}

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec + t.tv_nsec * 1e-9;
}

static struct blob slurp(const char *file) {
    struct blob b = {malloc(MAX_REQUEST), 0};
    FILE *f = fopen(file, "rb");
    if (!f || !b.data) die(file);
    b.len = fread(b.data, 1, MAX_REQUEST, f);
    if (b.len == MAX_REQUEST) die("file too large");
    fclose(f);
    return b;
}

static SSL_CTX *make_context(void) {
    SSL_CTX *c = SSL_CTX_new(TLS_client_method());
    if (!c) die("context");
    SSL_CTX_set_min_proto_version(c, TLS1_3_VERSION);
    SSL_CTX_set_session_cache_mode(c, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_options(c, SSL_OP_NO_TICKET);
    SSL_CTX_set_verify(c, SSL_VERIFY_NONE, NULL);
    if (SSL_CTX_set1_curves_list(c, "X25519") != 1) die("groups");
    SSL_CTX_set_alpn_protos(c, (const unsigned char *)"\x08http/1.1", 9);
    return c;
}

/* One context for each pair of private key and certificate in the file. */
static void load_identities(const char *file) {
    FILE *f = fopen(file, "r");
    if (!f) die(file);
    for (;;) {
        EVP_PKEY *key = PEM_read_PrivateKey(f, NULL, NULL, NULL);
        X509 *certificate = key ? PEM_read_X509(f, NULL, NULL, NULL) : NULL;
        if (!certificate) break;
        if (context_count == MAX_CONTEXTS) die("too many identities");
        SSL_CTX *c = make_context();
        if (SSL_CTX_use_certificate(c, certificate) != 1 || SSL_CTX_use_PrivateKey(c, key) != 1)
            die("identity");
        contexts[context_count++] = c;
    }
    ERR_clear_error();
    fclose(f);
    if (!context_count) die("no identity in the file");
}

/* r || s of fixed width out of OpenSSL's DER. */
static void sign_raw(const unsigned char *data, size_t len, unsigned char out[64]) {
    unsigned char der[128];
    const unsigned char *p = der;
    size_t der_len = sizeof der;
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    if (EVP_DigestSignInit(ctx, NULL, EVP_sha256(), NULL, attestation_key) != 1 ||
        EVP_DigestSign(ctx, der, &der_len, data, len) != 1)
        die("sign");
    EVP_MD_CTX_free(ctx);
    ECDSA_SIG *sig = d2i_ECDSA_SIG(NULL, &p, (long)der_len);
    if (!sig || BN_bn2binpad(ECDSA_SIG_get0_r(sig), out, 32) != 32 ||
        BN_bn2binpad(ECDSA_SIG_get0_s(sig), out + 32, 32) != 32)
        die("signature");
    ECDSA_SIG_free(sig);
}

static void bind_quote(struct connection *c) {
    unsigned char exported[32], evidence[MAX_REQUEST], report[64];
    unsigned int report_len = sizeof report;
    static char encoded[2 * MAX_REQUEST];
    if (SSL_export_keying_material(c->ssl, exported, sizeof exported, exporter_label,
                                   strlen(exporter_label), NULL, 0, 0) != 1)
        die("exporter");
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    /* The label includes its final zero byte. */
    if (EVP_DigestInit_ex(ctx, EVP_sha512(), NULL) != 1 ||
        EVP_DigestUpdate(ctx, digest_label, strlen(digest_label) + 1) != 1 ||
        EVP_DigestUpdate(ctx, exported, sizeof exported) != 1 ||
        EVP_DigestUpdate(ctx, rest.data, rest.len) != 1 ||
        EVP_DigestFinal_ex(ctx, report, &report_len) != 1)
        die("digest");
    EVP_MD_CTX_free(ctx);
    memcpy(evidence, quote.data, quote.len);
    memcpy(evidence + report_at, report, sizeof report);
    sign_raw(evidence, signed_len, evidence + signature_at);
    int encoded_len = EVP_EncodeBlock((unsigned char *)encoded, evidence, (int)quote.len);
    size_t body = before.len + (size_t)encoded_len + after.len;
    c->request = malloc(body + 512);
    int head = snprintf(c->request, 512,
                        "POST %s HTTP/1.1\r\nHost: cas\r\nContent-Type: application/json\r\n"
                        "Content-Length: %zu\r\n\r\n",
                        path, body);
    char *at = c->request + head;
    memcpy(at, before.data, before.len);
    memcpy(at += before.len, encoded, (size_t)encoded_len);
    memcpy(at += encoded_len, after.data, after.len);
    c->request_len = (size_t)head + body;
}

static void watch(struct connection *c, int op, unsigned events) {
    struct epoll_event e = {.events = events, .data.ptr = c};
    if (epoll_ctl(epoll_fd, op, c->fd, &e)) die("epoll_ctl");
}

static void open_connection(struct connection *c) {
    int one = 1;
    c->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (c->fd < 0) die("socket");
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    c->started = now();
    if (connect(c->fd, (struct sockaddr *)&where, sizeof where) && errno != EINPROGRESS)
        die("connect");
    c->state = CONNECTING;
    c->ssl = SSL_new(contexts[next_context++ % context_count]);
    SSL_set_fd(c->ssl, c->fd);
    SSL_set_connect_state(c->ssl);
    watch(c, EPOLL_CTL_ADD, EPOLLOUT);
}

static void close_connection(struct connection *c, int clean) {
    if (clean) SSL_shutdown(c->ssl);
    ERR_clear_error();
    SSL_free(c->ssl);
    close(c->fd);
    if (attestation_key) {
        free(c->request);
        c->request = NULL;
    }
}

static void record(double seconds) {
    if (latency_count == latency_room) {
        latency_room = latency_room ? 2 * latency_room : 65536;
        latencies = realloc(latencies, latency_room * sizeof *latencies);
        if (!latencies) die("memory");
    }
    latencies[latency_count++] = seconds;
}

static void begin_request(struct connection *c) {
    c->state = WRITING;
    c->written = c->answer_len = c->answer_total = 0;
    if (attestation_key) bind_quote(c);
    else c->request = (char *)request.data, c->request_len = request.len;
}

/* Whether the answer is whole; its length is told by Content-Length. */
static int answer_is_whole(struct connection *c) {
    if (!c->answer_total) {
        c->answer[c->answer_len] = 0;
        char *end = strstr(c->answer, "\r\n\r\n");
        if (!end) return 0;
        char *length = strcasestr(c->answer, "\r\ncontent-length:");
        if (!length || length > end) die("answer without a length");
        c->answer_total = (size_t)(end + 4 - c->answer) + strtoul(length + 17, NULL, 10);
    }
    return c->answer_len >= c->answer_total;
}

/* Go on as far as the socket allows: 1 = wait for input, 2 = for output, 0 = over, -1 = failed. */
static int advance(struct connection *c) {
    for (;;) {
        int n = 0;
        if (c->state == CONNECTING) c->state = HANDSHAKE;
        if (c->state == HANDSHAKE) {
            n = SSL_do_handshake(c->ssl);
            if (n == 1) {
                begin_request(c);
                continue;
            }
        } else if (c->state == WRITING) {
            n = SSL_write(c->ssl, c->request + c->written, (int)(c->request_len - c->written));
            if (n > 0) {
                c->written += (size_t)n;
                if (c->written == c->request_len) c->state = READING;
                continue;
            }
        } else {
            n = SSL_read(c->ssl, c->answer + c->answer_len, (int)(MAX_ANSWER - c->answer_len - 1));
            if (n > 0) {
                c->answer_len += (size_t)n;
                if (answer_is_whole(c)) return 0;
                continue;
            }
        }
        switch (SSL_get_error(c->ssl, n)) {
        case SSL_ERROR_WANT_READ: return 1;
        case SSL_ERROR_WANT_WRITE: return 2;
        default: return -1;
        }
    }
}

static void step(struct connection *c, int more) {
    int wait = advance(c);
    if (wait > 0) {
        watch(c, EPOLL_CTL_MOD, wait == 1 ? EPOLLIN : EPOLLOUT);
        return;
    }
    if (wait == 0 && !strncmp(c->answer, "HTTP/1.1 200", 12)) {
        done++;
        record(now() - c->started);
    } else {
        if (!failed++) {
            fprintf(stderr, "load: first failure: %.*s\n", wait ? 0 : (int)c->answer_len, c->answer);
            ERR_print_errors_fp(stderr);
        }
        wait = -1;
    }
    if (keep_alive && wait == 0 && more) {
        c->started = now();
        begin_request(c);
        watch(c, EPOLL_CTL_MOD, EPOLLOUT);
        return;
    }
    close_connection(c, wait == 0);
    c->fd = -1;
    if (more) open_connection(c);
}

static int by_value(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double percentile(double p) {
    return latency_count ? latencies[(size_t)(p * (double)(latency_count - 1))] * 1e3 : 0;
}

int main(int argc, char **argv) {
    int connections = 32;
    double seconds = 2;
    where.sin_family = AF_INET;
    inet_pton(AF_INET, "127.0.0.1", &where.sin_addr);
    for (int i = 1; i + 1 < argc; i += 2) {
        const char *name = argv[i], *value = argv[i + 1];
        if (!strcmp(name, "--port")) where.sin_port = htons((unsigned short)atoi(value));
        else if (!strcmp(name, "--connections")) connections = atoi(value);
        else if (!strcmp(name, "--seconds")) seconds = atof(value);
        else if (!strcmp(name, "--keep-alive")) keep_alive = atoi(value);
        else if (!strcmp(name, "--identities")) load_identities(value);
        else if (!strcmp(name, "--request")) request = slurp(value);
        else if (!strcmp(name, "--path")) path = value;
        else if (!strcmp(name, "--quote")) quote = slurp(value);
        else if (!strcmp(name, "--body-before")) before = slurp(value);
        else if (!strcmp(name, "--body-after")) after = slurp(value);
        else if (!strcmp(name, "--report-rest")) rest = slurp(value);
        else if (!strcmp(name, "--exporter-label")) exporter_label = value;
        else if (!strcmp(name, "--digest-label")) digest_label = value;
        else if (!strcmp(name, "--signed-length")) signed_len = strtoul(value, NULL, 10);
        else if (!strcmp(name, "--report-at")) report_at = strtoul(value, NULL, 10);
        else if (!strcmp(name, "--signature-at")) signature_at = strtoul(value, NULL, 10);
        else if (!strcmp(name, "--attestation-key")) {
            FILE *f = fopen(value, "r");
            attestation_key = f ? PEM_read_PrivateKey(f, NULL, NULL, NULL) : NULL;
            if (!attestation_key) die(value);
            fclose(f);
        } else die(name);
    }
    if (connections < 1 || connections > MAX_CONNECTIONS || seconds <= 0 || seconds > 120)
        die("--connections or --seconds out of bounds");
    if (attestation_key) {
        if (!exporter_label || !digest_label || signed_len > quote.len ||
            report_at + 64 > signed_len || signature_at + 64 > quote.len)
            die("incomplete quote options");
    } else if (!request.len) die("--request or --attestation-key is needed");
    if (!context_count) contexts[context_count++] = make_context();

    static struct connection all[MAX_CONNECTIONS];
    struct epoll_event events[MAX_CONNECTIONS];
    epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    double start = now(), end = start + seconds;
    for (int i = 0; i < connections; i++) {
        all[i].answer = malloc(MAX_ANSWER);
        open_connection(&all[i]);
    }
    int open_count = connections;
    while (open_count && now() < end + 10) {
        int n = epoll_wait(epoll_fd, events, MAX_CONNECTIONS, 200);
        for (int i = 0; i < n; i++) {
            struct connection *c = events[i].data.ptr;
            step(c, now() < end && failed < 1000);
            if (c->fd < 0) open_count--;
        }
    }
    double elapsed = now() - start;
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    double cpu = (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
                 1e-6 * (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec);
    if (latency_count) qsort(latencies, latency_count, sizeof *latencies, by_value);
    printf("{\"done\": %ld, \"failed\": %ld, \"seconds\": %.4f, \"p50_ms\": %.3f, "
           "\"p99_ms\": %.3f, \"client_cpu_s\": %.4f, \"client_tls\": \"%s\"}\n",
           done, failed + open_count, elapsed, percentile(0.5), percentile(0.99), cpu,
           OpenSSL_version(OPENSSL_VERSION));
    return 0;
}
