/*
 * A VNC viewer without a window, over Debian's libvncclient (what Remmina and others see VMs by): it is told
 * what to do on its standard input, and tells what it sees.
 *
 *   vnc_viewer SOCKET|HOST:PORT ENCODINGS [PASSWORD]
 *
 * In: `key KEYSYM 1|0`, `code KEYSYM XT-CODE 1|0`, `pointer X Y BUTTONS`, `dump FILE` (the picture as a PPM),
 * `again` (asks for all of it). Out: `size W H`, `update N` after each update, `bell`, `dumped`;
 * `cursor WIDTH HEIGHT HOTX HOTY SEEN SUM` when the cursor looks different: how many of its pixels are seen,
 * and the sum of (their number + 1) * their colour modulo 2^32;
 * `refused` and exit 1 when it is not let in, `gone` when it is ended.
 */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <rfb/rfbclient.h>

static const char *password = "";
static int updates;

static char *give_password(rfbClient *client)
{
    (void)client;
    return strdup(password);
}

static rfbBool resized(rfbClient *client)
{
    free(client->frameBuffer);
    client->frameBuffer = calloc((size_t)client->width * client->height, 4);
    printf("size %d %d\n", client->width, client->height);
    return client->frameBuffer != NULL;
}

static void finished(rfbClient *client)
{
    (void)client;
    printf("update %d\n", ++updates);
}

static void rang(rfbClient *client)
{
    (void)client;
    puts("bell");
}

static void got_cursor(rfbClient *client, int hot_x, int hot_y, int width, int height, int bytes)
{
    uint32_t seen = 0, sum = 0;
    for (uint32_t i = 0; bytes == 4 && i < (uint32_t)width * (uint32_t)height; i++) {
        if (client->rcMask[i] == 0)
            continue;
        seen++;
        sum += (i + 1) * (((const uint32_t *)client->rcSource)[i] & 0xffffff);
    }
    printf("cursor %d %d %d %d %u %u\n", width, height, hot_x, hot_y, seen, sum);
}

static void dump(rfbClient *client, const char *path)
{
    FILE *file = fopen(path, "wb");
    if (file == NULL) {
        perror(path);
        exit(2);
    }
    fprintf(file, "P6\n%d %d\n255\n", client->width, client->height);
    const uint32_t *words = (const uint32_t *)client->frameBuffer;
    for (long i = 0; i < (long)client->width * client->height; i++) {
        uint8_t rgb[3] = { words[i] >> 16, words[i] >> 8, words[i] };
        fwrite(rgb, 1, 3, file);
    }
    fclose(file);
    puts("dumped");
}

static void command(rfbClient *client, const char *line)
{
    unsigned key, code, down, x, y, buttons;
    char path[256];
    if (sscanf(line, "key %u %u", &key, &down) == 2)
        SendKeyEvent(client, key, down != 0);
    else if (sscanf(line, "code %u %u %u", &key, &code, &down) == 3)
        SendExtendedKeyEvent(client, key, code, down != 0);
    else if (sscanf(line, "pointer %u %u %u", &x, &y, &buttons) == 3)
        SendPointerEvent(client, (int)x, (int)y, (int)buttons);
    else if (sscanf(line, "dump %255s", path) == 1)
        dump(client, path);
    else if (strcmp(line, "again") == 0)
        SendFramebufferUpdateRequest(client, 0, 0, client->width, client->height, FALSE);
    else {
        fprintf(stderr, "no command: %s\n", line);
        exit(2);
    }
}

int main(int argc, char **argv)
{
    if (argc < 3)
        return 2;
    setvbuf(stdout, NULL, _IOLBF, 0);
    rfbEnableClientLogging = getenv("VNC_LOG") != NULL;
    rfbClient *client = rfbGetClient(8, 3, 4);
    client->format.redShift = 16;
    client->format.greenShift = 8;
    client->format.blueShift = 0;
    client->MallocFrameBuffer = resized;
    client->FinishedFrameBufferUpdate = finished;
    client->Bell = rang;
    client->GotCursorShape = got_cursor;
    client->GetPassword = give_password;
    client->canHandleNewFBSize = TRUE;
    client->appData.encodingsString = argv[2];
    client->appData.enableJPEG = FALSE;
    client->appData.useRemoteCursor = TRUE;
    if (argc > 3)
        password = argv[3];
    char *colon = argv[1][0] == '/' ? NULL : strrchr(argv[1], ':');
    client->serverPort = colon == NULL ? 5900 : atoi(colon + 1);
    if (colon != NULL)
        *colon = 0;
    client->serverHost = strdup(argv[1]);
    if (!rfbInitClient(client, NULL, NULL)) {
        puts("refused");
        return 1;
    }
    char line[512];
    size_t filled = 0;
    for (;;) {
        struct pollfd fds[2] = { { .fd = client->sock, .events = POLLIN }, { .fd = 0, .events = POLLIN } };
        if (client->buffered == 0 && poll(fds, 2, -1) < 0 && errno != EINTR)
            return 2;
        if ((client->buffered > 0 || fds[0].revents != 0) && !HandleRFBServerMessage(client)) {
            puts("gone");
            return 0;
        }
        if (fds[1].revents == 0)
            continue;
        ssize_t n = read(0, line + filled, sizeof line - 1 - filled);
        if (n <= 0)
            return 0;
        filled += (size_t)n;
        for (char *end; (end = memchr(line, '\n', filled)) != NULL;) {
            *end = 0;
            command(client, line);
            filled -= (size_t)(end + 1 - line);
            memmove(line, end + 1, filled);
        }
    }
}
