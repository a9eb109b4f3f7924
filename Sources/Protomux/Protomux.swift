import CompactEncoding
import SansIO

/// Many channels over one message-preserving duplex (a secret stream). protomux.md part A.
///
/// Sans-IO: each message of the carrier goes into `receive`; effects for the carrier and events for the owner come out, in order.
public final class Protomux {
    /// Bounds that a well-behaved peer does not meet; the reference has only the first two.
    public struct Limits: Sendable {
        /// Buffered data of pending opens above which the carrier should pause, counted as 512 + length a message. MUX-20.
        public var pauseAbove = 32768
        /// A batch that has reached this is sent before anything is added. MUX-16b.
        public var batchSize = 8 << 20
        /// What one message of the carrier holds: 2^24 - 1 - 17. MUX-16a.
        public var messageSize = 16_777_198
        public var pendingOpens = 4096
        public var remoteChannels = 1 << 16
        /// Items of one batch: 2^20. The reference ends its batches at 8 MiB, and puts nowhere near as many into one.
        public var batchItems = 1 << 20
        /// Bytes of protocol name and id together.
        public var keyLength = 1 << 16

        public init() {}
    }

    /// For the carrier, in order.
    public enum Effect: Hashable, Sendable {
        case send([UInt8])
        /// Stop reading, until `resume`: the peer sends to channels that nobody has taken yet.
        case pause
        case resume
        /// End our direction.
        case end
        case destroy(ProtomuxError)
    }

    /// For the owner, in order.
    public enum Event: Hashable, Sendable {
        /// Both sides have opened; the peer's handshake decodes as the options say.
        case opened(ChannelHandle, handshake: [UInt8])
        case message(ChannelHandle, type: UInt64, payload: [UInt8])
        case closed(ChannelHandle, byRemote: Bool)
        /// Answer with `accept` or `reject`, at any time; data is kept meanwhile.
        case requested(OpenRequest)
        /// The peer closed before we answered.
        case withdrawn(OpenRequest)
        /// The last event.
        case ended(ProtomuxError?)
    }

    /// What was ignored, as the protocol asks. MUX-9.
    public struct Ignored: Hashable, Sendable {
        public var unknownChannel = 0
        public var unknownType = 0
        public var unknownControl = 0
        public var empty = 0

        public init() {}
    }

    public let limits: Limits
    public internal(set) var ignored = Ignored()
    public internal(set) var isEnded = false
    public internal(set) var isPaused = false

    var refused: [ChannelKey] = []
    var local: [LocalSlot] = []
    var freeIDs: [UInt64] = []
    var remote: [RemoteSlot] = []
    var channels: [ChannelHandle: Channel] = [:]
    var openCounts: [ChannelKey: Int] = [:]
    /// Our unanswered opens, first come first paired. MUX-18.
    var outgoing: [ChannelKey: [UInt64]] = [:]
    /// The peer's unanswered opens.
    var incoming: [ChannelKey: [UInt64]] = [:]
    var outstanding: [ChannelKey: Int] = [:]
    var openRequests: Set<UInt64> = []
    var listeners: Set<ChannelKey> = []
    var nextNumber: UInt64 = 1
    var bufferedBytes = 0
    var pendingCount = 0
    var corkDepth = 0
    var batch: [(channel: UInt64, body: [UInt8])] = []
    var batchBytes = 0
    var effects: [Effect] = []
    var events: [Event] = []

    public init(limits: Limits = Limits()) { self.limits = limits }

    public func takeEffects() -> [Effect] {
        defer { effects.removeAll() }
        return effects
    }

    public func takeEvents() -> [Event] {
        defer { events.removeAll() }
        return events
    }

    public var hasOutput: Bool { !effects.isEmpty || !events.isEmpty }

    // MARK: Opening and closing

    /// Asks to be told (`Event.requested`) of opens for this key; without an id, of those for any id of the protocol. MUX-19.
    public func listen(for key: ChannelKey) { listeners.insert(key) }

    public func stopListening(for key: ChannelKey) { listeners.remove(key) }

    /// Whether a channel of ours with this key is open or opening.
    public func hasChannel(_ key: ChannelKey) -> Bool { (openCounts[key] ?? 0) > 0 }

    /// Opens a channel: sends our open, and pairs it if the peer's is pending. Data may be sent at once.
    @discardableResult
    public func open(_ options: ChannelOptions, handshake: [UInt8] = []) throws(ProtomuxError) -> ChannelHandle {
        guard !isEnded else { throw ProtomuxError(.ended) }
        guard !options.isUnique || !hasChannel(options.key) else { throw ProtomuxError(.duplicate, "\(options.key)") }
        let localID = takeLocalID()
        let channel = Channel(handle: ChannelHandle(number: nextNumber), options: options, localID: localID)
        nextNumber += 1
        channels[channel.handle] = channel
        local[Int(localID - 1)] = .channel(channel.handle)
        openCounts[options.key, default: 0] += 1
        let message = OpenMessage(
            localID: localID, protocolName: options.key.protocolName, channelID: options.key.id, handshake: handshake)
        sendControl(.open(message))
        if let remoteID = firstPending(options.keys) {
            pairPending(channel.handle, remoteID)
        } else {
            for key in options.keys { outgoing[key, default: []].append(localID) }
        }
        return channel.handle
    }

    /// Ends the channel in both directions; there is no answer. MUX-7.
    public func close(_ handle: ChannelHandle) {
        guard !isEnded, let channel = channels[handle] else { return }
        sendControl(.close(Mutation.protomux(7).isActive ? channel.remoteID ?? channel.localID : channel.localID))
        drop(channel, byRemote: false)
        if let remoteID = channel.remoteID {
            remote[Int(remoteID - 1)] = .free
            release(channel.localID)
        } else if Mutation.protomux(21, 1).isActive {
            forget(channel.localID, channel.options.keys)
            release(channel.localID)
        } else {
            local[Int(channel.localID - 1)] = .closedUnpaired(channel.options.keys)
        }
    }

    /// Takes a requested channel.
    @discardableResult
    public func accept(
        _ request: OpenRequest, _ options: ChannelOptions, handshake: [UInt8] = []
    ) throws(ProtomuxError) -> ChannelHandle {
        let handle = try open(options, handshake: handshake)
        finish(request)
        return handle
    }

    /// Leaves a requested channel untaken.
    public func reject(_ request: OpenRequest) { finish(request) }

    /// Once every request for a key is answered, what is still pending for it is rejected.
    func finish(_ request: OpenRequest) {
        guard openRequests.remove(request.number) != nil else { return }
        let left = (outstanding[request.key] ?? 1) - 1
        outstanding[request.key] = left > 0 ? left : nil
        if left <= 0 { rejectPending(request.key) }
    }

    /// Opens of the peer's that were refused since the last call: nobody here waited for them. The newest 64 are kept.
    public func takeRefused() -> [ChannelKey] {
        defer { refused = [] }
        return refused
    }

    // MARK: Data

    /// Sends data; false if the channel is closed.
    @discardableResult
    public func send(_ handle: ChannelHandle, type: UInt64, _ payload: [UInt8]) throws(ProtomuxError) -> Bool {
        guard !isEnded, let channel = channels[handle] else { return false }
        let item = MuxItem.data(channel: channel.localID, type: type, payload: payload)
        // The longest prefix an item can have: id and type, or in a batch control bytes, id, length and type.
        guard payload.count + 24 <= limits.messageSize else { throw ProtomuxError(.messageTooLarge, "\(payload.count) bytes") }
        transmit(item)
        return true
    }

    /// Collects messages until `uncork`; nests.
    public func cork() { corkDepth += 1 }

    public func uncork() {
        guard corkDepth > 0 else { return }
        corkDepth -= 1
        if corkDepth == 0 { sendBatch() }
    }

    func sendControl(_ item: MuxItem) { transmit(item) }

    private func transmit(_ item: MuxItem) {
        // MUX-15a: what is corked goes out as one message.
        guard corkDepth > 0, !Mutation.protomux(15, 1).isActive else {
            effects.append(.send(MuxMessage.single(item).encoded))
            return
        }
        let body = item.body
        if batchBytes >= limits.batchSize, !Mutation.protomux(16, 2).isActive { sendBatch() }
        if batchBytes + batchCost(item.channel, body.count) > limits.messageSize, !Mutation.protomux(16, 1).isActive { sendBatch() }
        batchBytes += batchCost(item.channel, body.count)
        batch.append((item.channel, body))
    }

    /// Bytes that an item adds to the batch.
    private func batchCost(_ channel: UInt64, _ count: Int) -> Int {
        var cost = Protomux.uintSize(UInt64(count)) + count
        if batch.last?.channel != channel { cost += (batch.isEmpty ? 2 : 1) + Protomux.uintSize(channel) }
        return cost
    }

    private static func uintSize(_ value: UInt64) -> Int { value <= 0xfc ? 1 : value <= 0xffff ? 3 : value <= 0xffff_ffff ? 5 : 9 }

    private func sendBatch() {
        guard !batch.isEmpty else { return }
        var writer = Writer(capacity: batchBytes)
        MuxMessage.encodeBatch(batch, to: &writer)
        batch.removeAll()
        batchBytes = 0
        effects.append(.send(writer.bytes))
    }

    // MARK: Ids

    /// The id freed last, else the next. protomux.md A4.
    private func takeLocalID() -> UInt64 {
        if let id = freeIDs.popLast() { return id }
        local.append(.free)
        return UInt64(local.count)
    }

    func release(_ localID: UInt64) {
        local[Int(localID - 1)] = .free
        // MUX-6: an id is used again.
        if Mutation.protomux(6).isActive { return }
        freeIDs.append(localID)
    }

    /// Takes an id out of the lists of unanswered opens.
    func forget(_ localID: UInt64, _ keys: [ChannelKey]) {
        for key in keys {
            let rest = (outgoing[key] ?? []).filter { $0 != localID }
            outgoing[key] = rest.isEmpty ? nil : rest
        }
    }

    /// A channel is over; the owner hears of it.
    func drop(_ channel: Channel, byRemote: Bool) {
        channels[channel.handle] = nil
        let left = (openCounts[channel.options.key] ?? 1) - 1
        openCounts[channel.options.key] = left > 0 ? left : nil
        events.append(.closed(channel.handle, byRemote: byRemote))
    }
}
