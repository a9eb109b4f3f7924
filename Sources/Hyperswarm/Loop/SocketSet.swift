import CDatagram
import SansIO

/// Takes what a node's sockets receive.
protocol DatagramReceiver: AnyObject {
    /// A datagram: bytes of a shared buffer, valid during the call.
    func receive(_ bytes: [UInt8], _ range: Range<Int>, from source: Endpoint, on socket: SocketID)
    /// Datagrams that the kernel had joined begin, or have ended.
    func burst(begins: Bool)
}

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
            // One batch a turn, then what it asks for is sent: acknowledgements don't wait behind a queue of packets. What is left makes the next turn start at once.
            guard let receiver = set.receiver else { return }
            _ = socket.receive(burst: { receiver.burst(begins: $0) }) { receiver.receive($0, $1, from: $2, on: id) }
        }
    }

    private unowned let loop: EventLoop
    private var entries: [SocketID: Entry] = [:]
    private weak var receiver: (any DatagramReceiver)?
    /// Sends that the kernel refused, by errno: counted, never the end of a socket.
    private(set) var failures: [Int32: Int] = [:]
    var failed: ((SocketID, DatagramSocket.Failure) -> Void)?
    private var touched: [Entry] = []
    private var closedCounters = DatagramCounters()

    init(loop: EventLoop, receiver: any DatagramReceiver) {
        self.loop = loop
        self.receiver = receiver
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

    /// Sends all of these, in order, and leaves the array empty; what the kernel has no room for waits in the socket's queue.
    func send(_ transmits: inout [Transmit]) {
        guard let first = transmits.first?.socket else { return }
        if transmits.allSatisfy({ $0.socket == first }) {
            guard let entry = entries[first] else { return transmits.removeAll(keepingCapacity: true) }
            entry.socket.enqueue(all: &transmits)
            if !entry.isBlocked { flush(entry) }
            return
        }
        defer { transmits.removeAll(keepingCapacity: true) }
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
