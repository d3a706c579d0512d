/* A custom runtime and its function in one: asks for events, says a line for each, answers. One connection a call. */
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char answer[65536];

/* Whether the head and as much of a body as it names are there. */
static int is_whole(void) {
    const char *body = strstr(answer, "\r\n\r\n"), *length = strcasestr(answer, "Content-Length: ");
    return body && (!length || length > body || strlen(body + 4) >= (size_t)atoi(length + 16));
}

static void call(const char *request) {
    char host[64];
    int port, got, used = 0, sock = socket(AF_INET, SOCK_STREAM, 0);
    if (sscanf(getenv("AWS_LAMBDA_RUNTIME_API"), "%63[^:]:%d", host, &port) != 2) exit(3);
    answer[0] = 0;
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(port)};
    inet_pton(AF_INET, host, &to.sin_addr);
    if (connect(sock, (struct sockaddr *)&to, sizeof to)) exit(4);
    if (write(sock, request, strlen(request)) < 0) exit(5);
    while (!is_whole() && (got = read(sock, answer + used, sizeof answer - 1 - used)) > 0) {
        used += got;
        answer[used] = 0;
    }
    close(sock);
}

int main(void) {
    static const char next[] = "GET /2018-06-01/runtime/invocation/next HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    char request[512], id[64];
    for (int number = 0;; number++) {
        call(next);
        const char *header = strcasestr(answer, "Lambda-Runtime-Aws-Request-Id: ");
        if (!header || sscanf(header + 31, "%63[0-9a-f-]", id) != 1) return 6;
        printf("binary says %d\n", number);
        fflush(stdout);
        snprintf(request, sizeof request,
                 "POST /2018-06-01/runtime/invocation/%s/response HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
                 "Content-Length: 12\r\n\r\n{\"ok\": true}", id);
        call(request);
    }
}
