import SansIO

/// The puncher sockets: who uses them, and when they may close. hyperdht.md section 18.
///
/// A socket closes when neither a puncher nor a stream uses it; one that both sides want to reuse lingers 3 s.
struct SocketPool {
    private struct Entry {
        var holders = 1
        var streams = 0
        var isReusable = false
        var wasBusy = false
        var closesAt: Instant?
    }

    static let linger = Interval.seconds(3)
    private var entries: [SocketID: Entry] = [:]
    /// Opening order, so that closing is deterministic.
    private var order: [SocketID] = []
    /// No lingering socket closes before this; it may be too early, never too late.
    private var firstClose = Instant.distantFuture

    var count: Int { entries.count }
    func contains(_ socket: SocketID) -> Bool { entries[socket] != nil }
    /// In opening order.
    var sockets: [SocketID] { order }

    mutating func add(_ socket: SocketID) {
        entries[socket] = Entry()
        order.append(socket)
    }

    mutating func retain(_ socket: SocketID) {
        entries[socket]?.holders += 1
        entries[socket]?.closesAt = nil
    }

    mutating func setReusable(_ socket: SocketID, _ reusable: Bool) { entries[socket]?.isReusable = reusable }

    /// Returns true if the socket must be closed now.
    mutating func release(_ socket: SocketID, _ now: Instant) -> Bool {
        guard let entry = entries[socket] else { return false }
        entries[socket]?.holders = max(0, entry.holders - 1)
        return settle(socket, now)
    }

    mutating func streamStarted(_ socket: SocketID) {
        entries[socket]?.streams += 1
        entries[socket]?.wasBusy = true
        entries[socket]?.closesAt = nil
    }

    /// Returns true if the socket must be closed now.
    mutating func streamEnded(_ socket: SocketID, _ now: Instant) -> Bool {
        guard let entry = entries[socket] else { return false }
        entries[socket]?.streams = max(0, entry.streams - 1)
        return settle(socket, now)
    }

    private mutating func settle(_ socket: SocketID, _ now: Instant) -> Bool {
        guard let entry = entries[socket], entry.holders == 0, entry.streams == 0, entry.closesAt == nil else { return false }
        if entry.isReusable, entry.wasBusy {
            entries[socket]?.wasBusy = false
            entries[socket]?.closesAt = now + SocketPool.linger
            firstClose = min(firstClose, now + SocketPool.linger)
            return false
        }
        remove(socket)
        return true
    }

    private mutating func remove(_ socket: SocketID) {
        entries[socket] = nil
        order.removeAll { $0 == socket }
    }

    var nextWakeUp: Instant { firstClose }

    /// Sockets whose lingering is over, in opening order.
    mutating func expired(_ now: Instant) -> [SocketID] {
        if firstClose > now { return [] }
        let due = order.filter { entries[$0]?.closesAt.map { $0 <= now } ?? false }
        for socket in due { remove(socket) }
        firstClose = entries.values.reduce(.distantFuture) { min($0, $1.closesAt ?? .distantFuture) }
        return due
    }

    /// Every socket, for closing.
    mutating func removeAll() -> [SocketID] {
        defer {
            entries = [:]
            order = []
            firstClose = .distantFuture
        }
        return order
    }
}
