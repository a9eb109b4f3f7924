import CDatagram
import SansIO

#if canImport(Glibc)
    import Glibc
#else
    import Darwin
#endif

/// One TCP connection of a loop: bytes in, bytes out, with a bounded outgoing queue that the owner watches.
///
/// Belongs to the thread of its loop. For the stand-alone secret-stream.
final class TCPSocket: ReadinessHandler {
    enum Event {
        case connected
        case received([UInt8])
        case ended
        /// Everything written has been taken by the kernel.
        case drained
        /// Once, and last; nil after both sides have ended.
        case closed(SystemError?)
    }

    private let fd: Int32
    private unowned let loop: EventLoop
    private var outgoing: [UInt8] = []
    private var isConnecting: Bool
    private var remoteEnded = false
    private var localEnded = false
    private var endWanted = false
    private var isClosed = false
    private var isReading = true
    var handle: ((Event) -> Void)?
    private(set) var remote = Endpoint(.any, 0)

    /// Starts to connect.
    init(to remote: Endpoint, loop: EventLoop) throws(SystemError) {
        let family: Int32 = remote.address.isIPv4 ? 4 : 6
        fd = hyperconform_tcp_open(family)
        self.loop = loop
        isConnecting = true
        guard fd >= 0 else { throw SystemError(-fd, "open a TCP socket") }
        self.remote = remote
        var address = hyperconform_datagram(remote)
        try SystemError.check(hyperconform_tcp_connect(fd, family, &address), "connect to \(remote)")
        loop.watch(fd, self, readable: true, writable: true)
    }

    fileprivate init(accepted fd: Int32, loop: EventLoop) {
        self.fd = fd
        self.loop = loop
        isConnecting = false
        var address = hyperconform_datagram()
        if hyperconform_remote(fd, &address) == 0 { remote = address.endpoint }
        loop.watch(fd, self, readable: true, writable: false)
    }

    deinit { if fd >= 0, !isClosed { close(fd) } }

    var queuedBytes: Int { outgoing.count }

    func write(_ bytes: [UInt8]) {
        guard !isClosed, !endWanted else { return }
        outgoing += bytes
        if !isConnecting { drain() }
    }

    /// Pauses and resumes reading; the other side's window then fills.
    func setReading(_ reading: Bool) {
        isReading = reading
        if !isClosed, !isConnecting { loop.watch(fd, self, readable: wantsReading, writable: !outgoing.isEmpty) }
    }

    private var wantsReading: Bool { isReading && !remoteEnded }

    /// No more bytes from us after those that are queued.
    func end() {
        endWanted = true
        if !isConnecting { drain() }
    }

    func destroy() { finish(nil) }

    private func finish(_ error: SystemError?) {
        guard !isClosed else { return }
        isClosed = true
        loop.forget(fd)
        close(fd)
        let handle = self.handle
        self.handle = nil
        handle?(.closed(error))
    }

    private func drain() {
        guard !isClosed else { return }
        var start = 0
        while start < outgoing.count {
            let sent = outgoing.withUnsafeBufferPointer { buffer in
                hyperconform_tcp_send(fd, buffer.baseAddress.map { $0 + start }, buffer.count - start)
            }
            if sent < 0 {
                if Int32(-sent) == EAGAIN { break }
                return finish(SystemError(Int32(clamping: -sent), "send to \(remote)"))
            }
            start += sent
        }
        let hadBytes = !outgoing.isEmpty
        outgoing.removeFirst(start)
        loop.watch(fd, self, readable: wantsReading, writable: !outgoing.isEmpty)
        guard outgoing.isEmpty else { return }
        if hadBytes { handle?(.drained) }
        if endWanted, !localEnded {
            localEnded = true
            _ = hyperconform_tcp_end(fd)
            if remoteEnded { finish(nil) }
        }
    }

    func ready(readable: Bool, writable: Bool) {
        if isConnecting {
            let error = hyperconform_tcp_error(fd)
            guard error == 0 else { return finish(SystemError(error, "connect to \(remote)")) }
            guard writable else { return }
            isConnecting = false
            handle?(.connected)
            drain()
        }
        if readable, !isClosed { readAll() }
        if writable, !isClosed, !outgoing.isEmpty { drain() }
    }

    private func readAll() {
        // A turn reads at most 1 MiB, so that one connection does not starve the others.
        for _ in 0..<16 {
            var count = 0
            let bytes = [UInt8](unsafeUninitializedCapacity: 65_536) { buffer, initialised in
                count = read(fd, buffer.baseAddress, buffer.count)
                initialised = max(0, count)
            }
            if count > 0 {
                handle?(.received(bytes))
                if isClosed { return }
                continue
            }
            if count < 0 {
                if errno == EAGAIN || errno == EINTR { return }
                return finish(SystemError(errno, "receive from \(remote)"))
            }
            remoteEnded = true
            loop.watch(fd, self, readable: false, writable: !outgoing.isEmpty)
            handle?(.ended)
            if localEnded { finish(nil) }
            return
        }
    }
}

/// Accepts TCP connections on a loop.
final class TCPListener: ReadinessHandler {
    private let fd: Int32
    private unowned let loop: EventLoop
    let local: Endpoint
    private let accept: (TCPSocket) -> Void
    private var isClosed = false

    init(_ address: Endpoint, loop: EventLoop, accept: @escaping (TCPSocket) -> Void) throws(SystemError) {
        let family: Int32 = address.address.isIPv4 ? 4 : 6
        let fd = hyperconform_tcp_open(family)
        guard fd >= 0 else { throw SystemError(-fd, "open a TCP socket") }
        var wanted = hyperconform_datagram(address)
        var failed = hyperconform_bind(fd, family, &wanted)
        if failed == 0 { failed = hyperconform_tcp_listen(fd) }
        var chosen = hyperconform_datagram()
        if failed == 0 { failed = hyperconform_local(fd, &chosen) }
        guard failed == 0 else {
            close(fd)
            throw SystemError(failed, "listen on \(address)")
        }
        self.fd = fd
        self.loop = loop
        self.accept = accept
        local = Endpoint(address.address, chosen.port)
        loop.watch(fd, self, readable: true, writable: false)
    }

    func stop() {
        guard !isClosed else { return }
        isClosed = true
        loop.forget(fd)
        close(fd)
    }

    deinit { if !isClosed { close(fd) } }

    func ready(readable: Bool, writable: Bool) {
        for _ in 0..<64 {
            let accepted = hyperconform_tcp_accept(fd)
            guard accepted >= 0 else { return }
            accept(TCPSocket(accepted: accepted, loop: loop))
        }
    }
}
