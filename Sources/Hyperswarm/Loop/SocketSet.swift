import CDatagram
import SansIO

/// The UDP sockets of one node, by the ids that its machine knows them by.
///
/// Belongs to the thread of its loop.
final class SocketSet {
    private final class Entry: ReadinessHandler {
        let id: SocketID
        let socket: DatagramSocket
        unowned let set: SocketSet
        var isBlocked = false

        init(id: SocketID, socket: DatagramSocket, set: SocketSet) {
            self.id = id
            self.socket = socket
            self.set = set
        }

        func ready(readable: Bool, writable: Bool) {
            if writable { set.flush(self) }
            guard readable else { return }
            // A turn takes at most 16 batches of one socket, so that timers and commands are not starved.
            for _ in 0..<16 where socket.receive({ payload, source in set.receive(payload, source, id) }) == 0 { break }
        }
    }

    private unowned let loop: EventLoop
    private var entries: [SocketID: Entry] = [:]
    private let receive: ([UInt8], Endpoint, SocketID) -> Void
    /// Sends that the kernel refused, by errno: counted, never the end of a socket.
    private(set) var failures: [Int32: Int] = [:]
    var failed: ((SocketID, DatagramSocket.Failure) -> Void)?
    private var touched: [Entry] = []
    private var closedCounters = DatagramCounters()

    init(loop: EventLoop, receive: @escaping ([UInt8], Endpoint, SocketID) -> Void) {
        self.loop = loop
        self.receive = receive
    }

    @discardableResult
    func open(_ id: SocketID, _ address: Endpoint, options: DatagramOptions, family: DatagramSocket.Family? = nil) throws(SystemError)
        -> Endpoint
    {
        let family = family ?? (address.address.isIPv4 ? .v4 : .v6)
        let socket = try DatagramSocket(family, local: address, options: options, arena: loop.arena)
        close(id)
        let entry = Entry(id: id, socket: socket, set: self)
        entries[id] = entry
        loop.watch(socket.fd, entry, readable: true, writable: false)
        return socket.local
    }

    func local(_ id: SocketID) -> Endpoint? { entries[id]?.socket.local }
    var count: Int { entries.count }

    func close(_ id: SocketID) {
        guard let entry = entries.removeValue(forKey: id) else { return }
        _ = entry.socket.flush()
        closedCounters.add(entry.socket.counters)
        loop.forget(entry.socket.fd)
        // The list of the last sends must not keep it open: its port would stay taken.
        touched.removeAll { $0 === entry }
    }

    func closeAll() { for id in entries.keys.sorted() { close(id) } }

    /// Sends all of these, in order; what the kernel has no room for waits in the socket's queue.
    func send(_ transmits: [Transmit]) {
        guard !transmits.isEmpty else { return }
        touched.removeAll(keepingCapacity: true)
        var last: Entry?
        for transmit in transmits {
            if last?.id != transmit.socket {
                last = entries[transmit.socket]
                if let last, !touched.contains(where: { $0 === last }) { touched.append(last) }
            }
            last?.socket.enqueue(transmit)
        }
        for entry in touched where !entry.isBlocked { flush(entry) }
    }

    private func flush(_ entry: Entry) {
        let isDone = entry.socket.flush()
        if entry.isBlocked == isDone {
            entry.isBlocked = !isDone
            loop.watch(entry.socket.fd, entry, readable: true, writable: !isDone)
        }
        for failure in entry.socket.takeFailures() {
            failures[failure.code, default: 0] += 1
            failed?(entry.id, failure)
        }
    }

    /// The sum over all sockets, closed ones too.
    var counters: DatagramCounters {
        var sum = closedCounters
        for entry in entries.values { sum.add(entry.socket.counters) }
        return sum
    }
}

extension DatagramCounters {
    mutating func add(_ other: DatagramCounters) {
        datagramsSent += other.datagramsSent
        bytesSent += other.bytesSent
        datagramsReceived += other.datagramsReceived
        bytesReceived += other.bytesReceived
        failures.merge(other.failures, uniquingKeysWith: +)
        blocked += other.blocked
        queueDrops += other.queueDrops
        truncated += other.truncated
        kernelDrops += other.kernelDrops
        systemCalls += other.systemCalls
    }
}
