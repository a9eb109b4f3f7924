import CompactEncoding
import Foundation
import HyperCrypto
import HyperDHT
import Hyperswarm
import SansIO
import StrictJSON

/// One stream of the contract, whatever is under it: counts and hashes what arrives, and does with it what `receive` says.
///
/// Unchecked: what is mutable stands behind the lock.
final class PeerStream: @unchecked Sendable {
    let handle: Int64
    let mode: ReceiveMode
    private let output: PeerOutput
    private let lock = NSLock()
    private var hash = RunningSHA256()
    private var count: UInt64 = 0
    private var isPaused = false
    private var gate: [CheckedContinuation<Void, Never>] = []
    private(set) var multiplexer: Multiplexer?
    let channels: [ChannelRequest]
    private let peer: Peer
    /// Set for plain UDX streams.
    let plain: PlainStream?

    // What is under it.
    let writeNow: @Sendable ([UInt8]) throws -> Bool
    let waitForRoom: @Sendable () async throws -> Void
    let finish: @Sendable () async throws -> Void
    let flush: @Sendable () async throws -> Void
    let send: @Sendable ([UInt8]) async throws -> Void
    let destroy: @Sendable () -> Void
    let closed: @Sendable () async throws -> StreamFailure?
    let statistics: @Sendable () async throws -> JSONObject
    private let run: @Sendable (PeerStream) async -> Void
    /// Waits until the stream is open and tells what there is to tell; nil where opening is no event.
    let opening: (@Sendable () async throws -> JSONObject)?

    init(
        _ stream: some DuplexStream, handle: Int64, mode: ReceiveMode, channels: [ChannelRequest], peer: Peer, output: PeerOutput,
        opening: (@Sendable () async throws -> JSONObject)? = nil,
        statistics: @escaping @Sendable () async throws -> JSONObject = { PeerStream.noStatistics }
    ) {
        self.handle = handle
        self.mode = mode
        self.channels = channels
        self.peer = peer
        self.output = output
        self.opening = opening
        self.statistics = statistics
        plain = stream as? PlainStream
        writeNow = { try stream.writeNow($0) }
        waitForRoom = { try await stream.waitForRoom() }
        finish = { try await stream.finish() }
        flush = { try await stream.flush() }
        send = { try await stream.send($0) }
        destroy = { stream.destroy() }
        closed = { try await stream.closed() }
        run = { await $0.pump(stream) }
        if mode == .protomux {
            // The channels exist before the first message is read, so that nothing that the other side opens early is refused.
            multiplexer = try? Multiplexer(
                stream, opening: channels.map { ($0.options, handshake: $0.handshake) }, observe: { [weak self] in self?.took($0) })
        }
    }

    /// Starts to tell what happens. Called when the reply, or event, that brought the handle has been written.
    func start() {
        if let multiplexer {
            for (request, channel) in zip(channels, multiplexer.opened) { peer.announce(channel, request, on: self) }
            let (output, handle) = (output, handle)
            Task {
                for await key in multiplexer.refused {
                    output.event(
                        "channelRefused",
                        [
                            "stream": .integer(handle), "protocol": .string(key.protocolName),
                            "channelId": key.id.isEmpty ? .null : .string(Hex.encode(key.id)),
                        ])
                }
            }
        }
        let run = run
        Task { await run(self) }
    }

    var digest: (bytes: UInt64, sha256: Bytes32) {
        lock.withLock { (count, hash.digest) }
    }

    private func took(_ bytes: [UInt8]) {
        lock.withLock {
            count += UInt64(bytes.count)
            hash.update(bytes)
        }
    }

    func pause(_ paused: Bool) {
        let waiting = lock.withLock { () -> [CheckedContinuation<Void, Never>] in
            isPaused = paused
            guard !paused else { return [] }
            defer { gate = [] }
            return gate
        }
        for continuation in waiting { continuation.resume() }
    }

    private func passGate() async {
        await withCheckedContinuation { continuation in
            let passes = lock.withLock { () -> Bool in
                if isPaused { gate.append(continuation) }
                return !isPaused
            }
            if passes { continuation.resume() }
        }
    }

    private func pump(_ stream: some DuplexStream) async {
        let messages = Task {
            for await message in stream.messages {
                switch mode {
                case .events: output.event("message", ["stream": .integer(handle), "data": .string(Hex.encode(message))])
                case .echo: try? await stream.send(message)
                case .digest, .protomux: break
                }
            }
        }
        if let opening {
            do {
                var object = JSONObject(["event": "open", "t": .integer(PeerOutput.now), "stream": .integer(handle)])
                for member in try await opening().members { object.set(member.key, member.value) }
                output.line(object)
            } catch {
                // The close event says why.
            }
        }
        var broken: StreamFailure?
        if mode != .protomux {
            do {
                for try await chunk in stream {
                    took(chunk)
                    switch mode {
                    case .events: output.event("data", ["stream": .integer(handle), "data": .string(Hex.encode(chunk))])
                    case .echo: try await stream.write(chunk)
                    case .digest, .protomux: break
                    }
                    await passGate()
                }
                // After our own destroy nothing more comes either, but the remote has not ended.
                if stream.hasRemoteEnded { output.event("end", ["stream": .integer(handle)]) }
                if mode == .echo { try await stream.finish() }
            } catch {
                // The close event says why, even if both directions are ended in good order afterwards (SS-20a).
                broken = error as? StreamFailure
            }
        }
        let failure = ((try? await stream.closed()) ?? nil) ?? broken
        await messages.value
        output.event("close", ["stream": .integer(handle), "error": failure.map { PeerStream.json($0) } ?? .null])
        peer.forget(handle)
    }

    /// The reference has no code for a stream that breaks its own rules; the contract calls that STREAM_FAILED.
    static func json(_ failure: StreamFailure) -> JSON {
        let code = failure.code == HyperDHTError.streamInvalid.rawValue ? "STREAM_FAILED" : failure.code
        return ["code": .string(code), "message": .string(failure.message)]
    }

    static let noStatistics = JSONObject([
        "bytesReceived": nil, "bytesTransmitted": nil, "packetsReceived": nil, "packetsTransmitted": nil, "rttMilliseconds": nil,
        "retransmits": nil, "mtu": nil, "congestionWindow": nil, "inflight": nil,
    ])
}
