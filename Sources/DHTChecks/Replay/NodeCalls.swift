import CompactEncoding
import Conformance
import DHTRPC
import Dissection
import HyperCrypto
import HyperDHT
import PacketCapture
import SansIO
import StrictJSON

/// What the program of one recorded node called, in order.
///
/// - calls that the stack makes of itself (announcer, commits, samples, relay connections) are not made again: they must follow;
/// - values of which inputs.jsonl has only the hash come from the packets, held against that hash;
/// - a firewall hook that the run's events tell of refuses everybody.
struct NodeCalls {
    struct Stream: Hashable {
        let publicKey: Bytes32
        let remotePublicKey: Bytes32?
        let isInitiator: Bool
    }

    enum Call {
        case operation(String, [JSON])
        case listen(KeyPair, ServerOptions)
        case connect(PeerAddress, ConnectOptions)
        case closeServer
        case write(Stream, [UInt8])
        case end(Stream)
        case destroyStream(Stream)
        case suspend, resume, destroy
    }

    private let bundle: TraceBundle
    private let view: NodeView
    private let dissection: Dissection
    /// Keys of the blind relays that the run's parties agreed on: what goes on with them is the stack's own.
    private let relayKeys: Set<Bytes32>

    init(_ bundle: TraceBundle, _ view: NodeView, _ dissection: Dissection) {
        self.bundle = bundle
        self.view = view
        self.dissection = dissection
        relayKeys = Set(
            (bundle.keyLog?.entries ?? []).flatMap { entry -> [Bytes32] in
                guard case .noise(let record) = entry.record else { return [] }
                return record.messages.compactMap { (try? NoisePayload(decoding: $0.payload))?.relayThrough?.publicKey }
            })
    }

    /// Ports of several hosts may be the same.
    private var isPortUnique: Bool { (bundle.manifest?.peers ?? []).filter { $0.serverPort == view.serverPort }.count == 1 }

    func all() throws -> [(time: Instant, call: Call)] {
        var result: [(Instant, Call)] = []
        var servers: [JSON] = []
        let isApplication = hasOperations
        for input in bundle.inputs {
            guard case .call(let object, let id, let method, let arguments) = input.kind else { continue }
            switch (object, method) {
            case ("HyperDHT", "createServer"): servers.append(arguments.first ?? .null)
            case ("Server", "listen"):
                let options = servers.isEmpty ? JSON.null : servers.removeFirst()
                guard let pair = keyPair(arguments.first), pair.publicKey == view.peer.publicKey else { continue }
                result.append((input.time, .listen(pair, try serverOptions(options))))
            case ("Server", "close"):
                if let key = bytes32(id["publicKey"]), key == view.peer.publicKey { result.append((input.time, .closeServer)) }
            case ("HyperDHT", "connect"):
                guard isOwnConnect(id, arguments), bytes32(arguments.first).map({ !relayKeys.contains($0) }) ?? true else { continue }
                result.append((input.time, try connect(arguments)))
            case ("HyperDHT", _):
                guard isPortUnique, id["serverPort"]?.integer == Int64(view.serverPort) else { continue }
                if let call = operation(method, arguments, isApplication) { result.append((input.time, call)) }
            case ("SecretStream", _):
                guard let stream = stream(id), stream.publicKey == view.peer.publicKey,
                    !relayKeys.contains(stream.publicKey), !(stream.remotePublicKey.map { relayKeys.contains($0) } ?? false)
                else { continue }
                switch method {
                case "write": if let bytes = content(arguments.first, stream) { result.append((input.time, .write(stream, bytes))) }
                case "end": result.append((input.time, .end(stream)))
                case "destroy": result.append((input.time, .destroyStream(stream)))
                default: break
                }
            default: break
            }
        }
        return result
    }

    /// True if the node's program works with records and connections: then single requests are the stack's own.
    private var hasOperations: Bool {
        let own: Set<String> = [
            "announce", "unannounce", "lookup", "mutablePut", "mutableGet", "immutablePut", "immutableGet", "connect", "createServer",
        ]
        return bundle.inputs.contains { input in
            guard case .call("HyperDHT", let id, let method, _) = input.kind else { return false }
            return own.contains(method) && id["serverPort"]?.integer == Int64(view.serverPort)
        }
    }

    private func operation(_ method: String, _ arguments: [JSON], _ isApplication: Bool) -> Call? {
        switch method {
        case "fullyBootstrapped": return nil
        case "destroy": return .destroy
        case "suspend": return .suspend
        case "resume": return .resume
        case "ping", "delayedPing", "findNode", "request", "findPeer": return isApplication ? nil : .operation(method, arguments)
        default: return .operation(method, arguments)
        }
    }

    private func isOwnConnect(_ id: JSON, _ arguments: [JSON]) -> Bool {
        guard id["serverPort"]?.integer == Int64(view.serverPort) else { return false }
        if isPortUnique { return true }
        // Hosts of their own have the same port: the key log tells who began a handshake with that key.
        guard let target = bytes32(arguments.first) else { return false }
        return (bundle.keyLog?.entries ?? []).contains { entry in
            guard case .noiseEphemeral(let record) = entry.record else { return false }
            return record.isInitiator && record.remoteStaticKey == target && record.staticKey == view.peer.publicKey
        }
    }

    // MARK: Arguments

    private func bytes32(_ json: JSON?) -> Bytes32? { json?.string.flatMap { Hex.decode($0) }.flatMap { Bytes32($0) } }

    private func keyPair(_ json: JSON?) -> KeyPair? {
        json?["secretKey"]?.string.flatMap { Hex.decode($0) }.flatMap { KeyPair(secretKey: $0) }
    }

    private func stream(_ id: JSON) -> Stream? {
        guard let key = bytes32(id["publicKey"]) else { return nil }
        return Stream(publicKey: key, remotePublicKey: bytes32(id["remotePublicKey"]), isInitiator: id["initiator"]?.bool ?? false)
    }

    private func serverOptions(_ json: JSON) throws -> ServerOptions {
        var options = ServerOptions()
        options.sharesLocalAddress = json["shareLocalAddress"]?.bool ?? true
        options.reusableSocket = json["reusableSocket"]?.bool ?? false
        if json["holepunch"]?.bool == false { options.holepunch = .never }
        if let relay = bytes32(json["relayThrough"]) { options.relayThrough = [relay] }
        if bundle.events.contains(where: { $0.who == view.peer.name && $0.event == "firewall" }) { options.firewall = .reject }
        options.servesRelaying = view.peer.publicKey.map { relayKeys.contains($0) } ?? false
        return options
    }

    private func connect(_ arguments: [JSON]) throws -> Call {
        var options = ConnectOptions()
        let json = arguments.dropFirst().first ?? .null
        options.localConnection = json["localConnection"]?.bool ?? true
        options.fastOpen = json["fastOpen"]?.bool ?? true
        options.reusableSocket = json["reusableSocket"]?.bool ?? false
        if json["holepunch"]?.bool == false { options.holepunch = .never }
        if let relay = bytes32(json["relayThrough"]) { options.relayThrough = [relay] }
        if NodeDraws(bundle, view).refusesToPunch { options.holepunch = .refuse }
        if let pair = keyPair(json["keyPair"]) { options.keyPair = pair }
        options.relayAddresses = try (json["relayAddresses"]?.array ?? []).map(Exchange.endpoint)
        return .connect(try PeerAddress(decoding: try Exchange.bytes(arguments.first ?? .null)), options)
    }

    /// What was written: text or bytes as noted, or bytes of that length and hash among the frames of the capture.
    private func content(_ json: JSON?, _ stream: Stream) -> [UInt8]? {
        let frames = dissection.secretStreams.filter { $0.isFromInitiator == stream.isInitiator }.flatMap(\.frames).map(\.plaintext)
        if let text = json?.string {
            let candidates = [Array(text.utf8), Hex.decode(text)].compactMap { $0 }
            return candidates.first { candidate in frames.contains { $0 == candidate } } ?? candidates.first
        }
        guard let count = json?["bytes"]?.integer, let digest = json?["sha256"]?.string else { return nil }
        return frames.first { Int64($0.count) == count && SHA256.hash($0).description == digest }
    }

    /// A record's value: as noted, or out of the requests that stored it.
    func value(_ json: JSON) -> [UInt8]? {
        if let text = json.string { return Hex.decode(text) }
        guard let count = json["bytes"]?.integer, let digest = json["sha256"]?.string else { return nil }
        for packet in view.sent {
            guard let request = try? Request(decoding: packet.payload), !request.isInternal, let value = request.value else { continue }
            var candidate = value
            if request.command == HyperDHTCommand.mutablePut.rawValue, let put = try? MutablePutRequest(decoding: value) {
                candidate = put.value
            }
            if Int64(candidate.count) == count, SHA256.hash(candidate).description == digest { return candidate }
        }
        return nil
    }
}
