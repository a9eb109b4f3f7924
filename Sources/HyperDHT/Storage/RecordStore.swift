import CompactEncoding
import HyperCrypto
import SansIO

/// A request as the record store sees it: dht-rpc has framed it and judged its token.
public struct StoreRequest: Sendable {
    public var command: HyperDHTCommand
    public var from: Endpoint
    public var target: Bytes32?
    /// The token that came, already found valid.
    public var token: Bytes32?
    public var value: [UInt8]?

    public init(command: HyperDHTCommand, from: Endpoint, target: Bytes32?, token: Bytes32?, value: [UInt8]?) {
        self.command = command
        self.from = from
        self.target = target
        self.token = token
        self.value = value
    }
}

/// What a node says to an application request. hyperdht.md: "silence" means that nothing is sent.
public enum StoreAnswer: Hashable, Sendable {
    case silence
    case reply(value: [UInt8]?, token: Bool, closerNodes: Bool)
    /// An error reply: closer nodes, no token.
    case error(PeerErrorCode)
}

/// Sizes and lives of a persistent node's stores. hyperdht.md sections 4.3 and 4.4.
public struct StoreLimits: Hashable, Sendable {
    public var maxSize = 65_536
    public var maxAge = Interval.seconds(20 * 60)
    public var valueMaxAge = Interval.seconds(48 * 60 * 60)
    /// Longer values are not stored. The reference has no limit but the datagram; nothing that fits a path's MTU is refused.
    public var maxValueLength = 2048

    public init() {}

    /// The reference's `maxAge` and `maxSize` options, which scale all stores.
    public init(maxSize: Int? = nil, maxAge: Interval? = nil) {
        if let maxSize { self.maxSize = maxSize }
        if let maxAge {
            self.maxAge = maxAge
            valueMaxAge = maxAge
        }
    }
}

/// What a persistent node stores for others, and how it answers. hyperdht.md sections 3.4 to 3.8 and 4.
public struct RecordStore: Sendable {
    private struct Refresh: Sendable {
        var target: Bytes32
        var record: [UInt8]
        var publicKey: Bytes32
        var isSelfAnnounce: Bool
    }

    private let limits: StoreLimits
    private var topics: TopicRecords
    private var bumps: TwoGenerationCache<Bytes32, UInt64>
    private var refreshes: TwoGenerationCache<Bytes32, Refresh>
    private var mutables: TwoGenerationCache<Bytes32, MutableRecord>
    private var immutables: TwoGenerationCache<Bytes32, [UInt8]>

    /// At most this many records in a LOOKUP reply.
    public static let lookupLimit = 20
    /// Relay addresses kept of a record.
    public static let relayLimit = 3
    /// A bump may be this far ahead of our clock.
    public static let bumpDriftMilliseconds: UInt64 = 60_000

    public init(limits: StoreLimits = StoreLimits(), now: Instant) {
        self.limits = limits
        topics = TopicRecords(maxSize: limits.maxSize, maxAge: limits.maxAge, now: now)
        bumps = TwoGenerationCache(maxSize: limits.maxSize, maxAge: limits.maxAge, now: now)
        refreshes = TwoGenerationCache(maxSize: limits.maxSize, maxAge: limits.maxAge, now: now)
        mutables = TwoGenerationCache(maxSize: limits.maxSize / 2, maxAge: limits.valueMaxAge, now: now)
        immutables = TwoGenerationCache(maxSize: limits.maxSize / 2, maxAge: limits.valueMaxAge, now: now)
        nextWakeUp = firstTurn
    }

    private var firstTurn: Instant {
        min(topics.nextWakeUp, bumps.nextWakeUp, refreshes.nextWakeUp, min(mutables.nextWakeUp, immutables.nextWakeUp))
    }

    /// When the next generation turns.
    public private(set) var nextWakeUp = Instant.distantFuture

    /// Entries held in all stores.
    public var count: Int { topics.count + bumps.count + refreshes.count + mutables.count + immutables.count }

    /// Drops what is too old.
    public mutating func advance(to now: Instant) {
        guard now >= nextWakeUp else { return }
        defer { nextWakeUp = firstTurn }
        topics.advance(to: now)
        bumps.advance(to: now)
        refreshes.advance(to: now)
        mutables.advance(to: now)
        immutables.advance(to: now)
    }

    // MARK: Answers

    /// Answers commands 2 to 9. `nodeID` is this node's id, `unixMilliseconds` the time since 1970 (for bumps).
    public mutating func answer(
        _ request: StoreRequest, nodeID: Bytes32, router: inout RouteTable, unixMilliseconds: UInt64, entropy: any Entropy
    ) -> StoreAnswer {
        switch request.command {
        case .findPeer: findPeer(request, &router)
        case .lookup: lookup(request, &router, entropy)
        case .announce: announce(request, nodeID, &router, unixMilliseconds)
        case .unannounce: unannounce(request, nodeID, &router)
        case .mutablePut: mutablePut(request)
        case .mutableGet: mutableGet(request)
        case .immutablePut: immutablePut(request)
        case .immutableGet: immutableGet(request)
        default: .silence
        }
    }

    private static func found(_ value: [UInt8]?) -> StoreAnswer { .reply(value: value, token: true, closerNodes: true) }
    private static let done = StoreAnswer.reply(value: nil, token: false, closerNodes: false)

    /// HDHT-3, HDHT-4.
    private func findPeer(_ request: StoreRequest, _ router: inout RouteTable) -> StoreAnswer {
        guard let target = request.target else { return Mutation.hyperDHT(4).isActive ? RecordStore.found(nil) : .silence }
        if Mutation.hyperDHT(3).isActive { return .reply(value: router.route(target)?.record, token: false, closerNodes: true) }
        return RecordStore.found(router.route(target)?.record)
    }

    /// HDHT-16, HDHT-19.
    private mutating func lookup(_ request: StoreRequest, _ router: inout RouteTable, _ entropy: any Entropy) -> StoreAnswer {
        guard let target = request.target else { return .silence }
        let limit = Mutation.hyperDHT(16).isActive ? 25 : RecordStore.lookupLimit
        var records = topics.choose(target: target, limit: limit, entropy: entropy)
        if records.count < RecordStore.lookupLimit, let route = router.route(target) { records.append(route.record) }
        if Mutation.hyperDHT(19).isActive, records.isEmpty { return .reply(value: [0, 0], token: true, closerNodes: true) }
        guard !records.isEmpty else { return RecordStore.found(nil) }
        var writer = Writer()
        writer.array(records) { $0.raw($1) }
        writer.uint(bumps.get(target) ?? 0)
        return RecordStore.found(writer.bytes)
    }

    /// hyperdht.md section 3.4. HDHT-7 to HDHT-15, HDHT-17, HDHT-18, HDHT-74.
    private mutating func announce(
        _ request: StoreRequest, _ nodeID: Bytes32, _ router: inout RouteTable, _ unixMilliseconds: UInt64
    ) -> StoreAnswer {
        guard let target = request.target, let value = request.value else { return .silence }
        /// HDHT-11. Without a token: silence.
        guard let token = request.token ?? (Mutation.hyperDHT(11).isActive ? .zero : nil) else { return .silence }
        guard let message = try? AnnounceMessage(decoding: value) else { return .silence }
        guard let peer = message.peer else {
            guard let refresh = message.refresh else { return .silence }
            return renew(refresh, request, &router)
        }
        guard
            RecordStore.accepts(message, target: target, token: token, nodeID: nodeID)
                || (Mutation.hyperDHT(11).isActive && request.token == nil)
        else { return .silence }
        var kept = peer
        /// HDHT-14. The signature covers all relay addresses that were sent; the first three are kept.
        if kept.relayAddresses.count > RecordStore.relayLimit, !Mutation.hyperDHT(14).isActive {
            kept.relayAddresses = Array(kept.relayAddresses.prefix(RecordStore.relayLimit))
        }
        let record = kept.encoded
        let isSelf = Blake2b.hash256(peer.publicKey.bytes) == target
        if isSelf {
            if !Mutation.hyperDHT(7).isActive { router.setRelay(target, relay: request.from, record: record) }
            topics.remove(target: target, key: peer.publicKey)
        } else {
            let limit = unixMilliseconds &+ RecordStore.bumpDriftMilliseconds
            /// HDHT-17. A bump only goes up. HDHT-18. One from the future is ignored, its record is stored.
            let isHigher = message.bump > bumps.get(target) ?? 0 || (Mutation.hyperDHT(17).isActive && message.bump > 0)
            if isHigher, message.bump <= limit || Mutation.hyperDHT(18).isActive { bumps.set(target, message.bump) }
            topics.add(target: target, key: peer.publicKey, record: record)
        }
        if let refresh = message.refresh {
            refreshes.set(refresh, Refresh(target: target, record: record, publicKey: peer.publicKey, isSelfAnnounce: isSelf))
        }
        return RecordStore.done
    }

    /// The signature must be there (HDHT-12), be right (HDHT-8), and cover this node (HDHT-9), this command (HDHT-10) and this target (HDHT-13).
    private static func accepts(_ message: AnnounceMessage, target: Bytes32, token: Bytes32, nodeID: Bytes32) -> Bool {
        if message.signature == nil { return Mutation.hyperDHT(12).isActive }
        if Mutation.hyperDHT(8).isActive || Mutation.hyperDHT(9).isActive || Mutation.hyperDHT(13).isActive { return true }
        if Mutation.hyperDHT(10).isActive,
            RecordSignature.verify(.unannounce, message, target: target, token: token, nodeID: nodeID)
        {
            return true
        }
        return RecordSignature.verify(.announce, message, target: target, token: token, nodeID: nodeID)
    }

    /// HDHT-23. The legacy refresh: a value whose hash we remember renews the record and takes its place in the chain.
    private mutating func renew(_ value: Bytes32, _ request: StoreRequest, _ router: inout RouteTable) -> StoreAnswer {
        let key = Mutation.hyperDHT(23).isActive ? value : Blake2b.hash256(value.bytes)
        guard let entry = refreshes.get(key) else { return .silence }
        if entry.isSelfAnnounce {
            router.setRelay(entry.target, relay: request.from, record: entry.record)
            topics.remove(target: entry.target, key: entry.publicKey)
        } else {
            topics.add(target: entry.target, key: entry.publicKey, record: entry.record)
        }
        refreshes.remove(key)
        refreshes.set(value, entry)
        return RecordStore.done
    }

    /// hyperdht.md section 3.5. HDHT-21, HDHT-22.
    private mutating func unannounce(_ request: StoreRequest, _ nodeID: Bytes32, _ router: inout RouteTable) -> StoreAnswer {
        guard let target = request.target, let token = request.token, let value = request.value,
            let message = try? AnnounceMessage(decoding: value), let peer = message.peer
        else { return .silence }
        guard
            RecordSignature.verify(.unannounce, message, target: target, token: token, nodeID: nodeID)
                || (Mutation.hyperDHT(22).isActive && message.signature != nil)
        else { return .silence }
        if !Mutation.hyperDHT(21).isActive { forget(target: target, publicKey: peer.publicKey, router: &router) }
        return RecordStore.done
    }

    /// Drops a key's record under a target; the owner calls it for its own keys too.
    public mutating func forget(target: Bytes32, publicKey: Bytes32, router: inout RouteTable) {
        if Blake2b.hash256(publicKey.bytes) == target { router.removeRelay(target) }
        topics.remove(target: target, key: publicKey)
    }

    /// hyperdht.md section 4.1. HDHT-24, HDHT-27, HDHT-28.
    private mutating func mutablePut(_ request: StoreRequest) -> StoreAnswer {
        guard let target = request.target, let value = request.value, let put = try? MutablePutRequest(decoding: value) else {
            return .silence
        }
        guard request.token != nil || Mutation.hyperDHT(28, 3).isActive else { return .silence }
        guard Blake2b.hash256(put.publicKey.bytes) == target || Mutation.hyperDHT(28, 1).isActive else { return .silence }
        guard
            RecordSignature.verifyMutable(seq: put.seq, value: put.value, signature: put.signature, publicKey: put.publicKey)
                || Mutation.hyperDHT(28).isActive
        else { return .silence }
        guard put.value.count <= limits.maxValueLength else { return .silence }
        if let stored = mutables.get(target) {
            if stored.seq == put.seq, stored.value != put.value {
                return Mutation.hyperDHT(27).isActive ? .error(.seqTooLow) : .error(.seqReused)
            }
            if put.seq < stored.seq { return .error(.seqTooLow) }
        }
        if !Mutation.hyperDHT(24).isActive {
            mutables.set(target, MutableRecord(seq: put.seq, value: put.value, signature: put.signature))
        }
        return RecordStore.found(nil)
    }

    /// HDHT-25, HDHT-26.
    private mutating func mutableGet(_ request: StoreRequest) -> StoreAnswer {
        guard let target = request.target, let value = request.value ?? (Mutation.hyperDHT(26).isActive ? [0] : nil),
            let get = try? MutableGetRequest(decoding: value)
        else { return .silence }
        guard let stored = mutables.get(target), stored.seq >= get.seq || Mutation.hyperDHT(25).isActive else {
            return RecordStore.found(nil)
        }
        return RecordStore.found(stored.encoded)
    }

    /// hyperdht.md section 4.2. HDHT-29, HDHT-30.
    private mutating func immutablePut(_ request: StoreRequest) -> StoreAnswer {
        guard let target = request.target, request.token != nil, let value = request.value, value.count <= limits.maxValueLength else {
            return .silence
        }
        guard Blake2b.hash256(value) == target || Mutation.hyperDHT(30).isActive else { return .silence }
        if !Mutation.hyperDHT(29).isActive { immutables.set(target, value) }
        return RecordStore.found(nil)
    }

    private mutating func immutableGet(_ request: StoreRequest) -> StoreAnswer {
        guard let target = request.target else { return .silence }
        return RecordStore.found(immutables.get(target))
    }
}
