import CompactEncoding
import Foundation
import HyperCrypto
import HyperDHT
import Hyperswarm
import KeyLog
import SansIO
import StrictJSON

/// What a handle names.
enum PeerObject: Sendable {
    case node(HyperDHT)
    case swarm(Hyperswarm)
    case server(HyperDHTServer)
    case listener(SecretStreamListener)
    case stream(PeerStream)
    case socket(UDXSocket)
    case channel(MuxChannel)

    var node: HyperDHT? {
        switch self {
        case .node(let node): node
        case .swarm(let swarm): swarm.dht
        default: nil
        }
    }
}

/// The process's state: handles, and requests under way.
///
/// Unchecked: what is mutable stands behind the lock.
final class Peer: @unchecked Sendable {
    let output: PeerOutput
    private let lock = NSLock()
    private var objects: [Int64: PeerObject] = [:]
    private var lastHandle: Int64 = 0
    /// The last request in the order of each handle.
    private var chains: [Int64: Task<Void, Never>] = [:]
    private var usedIDs = UsedIDs()
    private var udxHost: UDXSocketHost?
    private var secretHost: SecretStreamHost?

    init(output: PeerOutput) { self.output = output }

    // MARK: Handles

    func newHandle() -> Int64 {
        lock.withLock {
            lastHandle += 1
            return lastHandle
        }
    }

    func set(_ handle: Int64, _ object: PeerObject) { lock.withLock { objects[handle] = object } }
    func forget(_ handle: Int64) {
        lock.withLock {
            objects[handle] = nil
            chains[handle] = nil
        }
    }

    func object(_ handle: Int64) throws -> PeerObject {
        guard let object = lock.withLock({ objects[handle] }) else { throw unknown(handle) }
        return object
    }

    func unknown(_ handle: Int64) -> Refusal { .error(code: "UNKNOWN_HANDLE", message: "there is no such object: \(handle)") }

    func node(_ handle: Int64) throws -> HyperDHT {
        guard let node = try object(handle).node else { throw unknown(handle) }
        return node
    }

    func swarm(_ handle: Int64) throws -> Hyperswarm {
        guard case .swarm(let swarm) = try object(handle) else { throw unknown(handle) }
        return swarm
    }

    func stream(_ handle: Int64) throws -> PeerStream {
        guard case .stream(let stream) = try object(handle) else { throw unknown(handle) }
        return stream
    }

    var allObjects: [(Int64, PeerObject)] { lock.withLock { objects.sorted { $0.key < $1.key } } }

    func udx() throws -> UDXSocketHost {
        try lock.withLock {
            if let udxHost { return udxHost }
            let host = try UDXSocketHost(options: evidence)
            udxHost = host
            Task {
                for await datagram in host.foreign {
                    let handle = self.allObjects.first {
                        if case .socket(let socket) = $0.1 { socket.id == datagram.socket } else { false }
                    }?.0
                    if let handle {
                        self.output.event(
                            "socketMessage",
                            ["socket": .integer(handle), "data": .string(Hex.encode(datagram.payload)), "from": Peer.json(datagram.source)])
                    }
                }
            }
            return host
        }
    }

    func secretStreams() throws -> SecretStreamHost {
        try lock.withLock {
            if let secretHost { return secretHost }
            let host = try SecretStreamHost()
            secretHost = host
            return host
        }
    }

    /// A peer is captured: every datagram must stand in the capture as it was sent.
    var evidence: DatagramOptions {
        var options = DatagramOptions()
        options.offload = false
        return options
    }

    func keyLog(_ path: String) throws {
        try KeyLogFile.shared.open(path)
    }

    // MARK: Requests

    func receive(_ line: [UInt8]) {
        guard let object = (try? JSON.parse(line))?.object, let id = object["id"]?.integer, id >= 0, id < 1 << 53,
            let command = object["command"]?.string
        else {
            let id = (try? JSON.parse(line))?.object?["id"]?.integer
            return output.line(
                JSONObject([
                    "id": id.flatMap { $0 >= 0 && $0 < 1 << 53 ? .integer($0) : nil } ?? .null,
                    "error": ["code": "BAD_REQUEST", "message": "one JSON object with \"id\" and \"command\" is expected on each line"],
                ]))
        }
        guard lock.withLock({ usedIDs.insert(id) }) else {
            return output.line(
                JSONObject([
                    "id": .integer(id), "error": ["code": "BAD_REQUEST", "message": "this id has been used: every request needs its own"],
                ]))
        }
        guard let handler = PeerCommands.all[command] else { return output.line(JSONObject(["id": .integer(id), "unsupported": true])) }
        // Requests that name the same handle take effect in the order in which they came; slow ones hold up nothing.
        let names = ["node", "server", "stream", "socket", "channel"].compactMap { object[$0]?.integer }
        let before = lock.withLock { names.compactMap { chains[$0] } }
        let task = Task {
            for task in before { await task.value }
            await self.perform(id, handler, object)
        }
        if handler.isQuick { lock.withLock { for name in names where objects[name] != nil || chains[name] != nil { chains[name] = task } } }
    }

    private func perform(_ id: Int64, _ handler: PeerCommand, _ object: JSONObject) async {
        var reply = JSONObject(["id": .integer(id)])
        var after: (@Sendable () -> Void)?
        do {
            let result = try await handler.run(self, Arguments(object))
            reply.set("ok", true)
            for member in result.fields.members { reply.set(member.key, member.value) }
            after = result.after
        } catch Refusal.unsupported(let argument) {
            reply.set("unsupported", true)
            if let argument { reply.set("argument", .string(argument)) }
        } catch Refusal.error(let code, let message) {
            reply.set("error", ["code": .string(code), "message": .string(message)])
        } catch let failure as StreamFailure {
            reply.set("error", PeerStream.json(failure))
        } catch let error as SystemError {
            reply.set("error", ["code": "BIND_FAILED", "message": .string(error.description)])
        } catch is StreamClosed {
            reply.set("error", ["code": "CLOSED", "message": "the object is closed or closing"])
        } catch is EventLoopEnded {
            reply.set("error", ["code": "CLOSED", "message": "the object is closed or closing"])
        } catch {
            reply.set("error", ["code": "INTERNAL", "message": .string("\(error)")])
        }
        output.line(reply)
        after?()
    }

    // MARK: The end

    /// Servers and swarms first, while the nodes that hold their announces are still there to take them back.
    func closeAll() async {
        let open = allObjects.map { $0.1 }
        await withTaskGroup(of: Void.self) { group in
            for object in open {
                switch object {
                case .server(let server): group.addTask { try? await server.close() }
                case .swarm(let swarm): group.addTask { await swarm.destroy() }
                default: break
                }
            }
        }
        await withTaskGroup(of: Void.self) { group in
            for object in open { if case .node(let node) = object { group.addTask { await node.destroy(force: true) } } }
        }
        if let host = lock.withLock({ udxHost }) { await host.close() }
        if let host = lock.withLock({ secretHost }) { await host.close() }
    }

    // MARK: JSON

    static func json(_ endpoint: Endpoint) -> JSON { ["host": .string(endpoint.address.description), "port": .integer(endpoint.port)] }
    static func json(_ key: Bytes32?) -> JSON { key.map { .string($0.description) } ?? .null }
    static func json(_ bytes: [UInt8]?) -> JSON { bytes.map { .string(Hex.encode($0)) } ?? .null }

    /// A connection description.
    static func describe(_ info: ConnectionInfo) -> JSONObject {
        JSONObject([
            "publicKey": json(info.publicKey), "remotePublicKey": json(info.remotePublicKey), "handshakeHash": json(info.handshakeHash),
            "initiator": .bool(info.isInitiator), "remoteAddress": info.isRelayed ? .null : json(info.remoteAddress),
            "udx": ["localId": .integer(info.localStreamID), "remoteId": .integer(info.remoteStreamID)],
        ])
    }
}

/// What a command gives back, and what is to follow its reply.
struct PeerResult {
    var fields: JSONObject
    var after: (@Sendable () -> Void)?

    init(_ fields: JSONObject = JSONObject(), after: (@Sendable () -> Void)? = nil) {
        self.fields = fields
        self.after = after
    }
}

struct PeerCommand: Sendable {
    /// Whether later requests for the same handle wait for it: what only waits for the network is not.
    var isQuick = true
    let run: @Sendable (Peer, Arguments) async throws -> PeerResult
}
