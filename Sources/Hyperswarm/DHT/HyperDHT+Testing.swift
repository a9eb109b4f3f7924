import CompactEncoding
import DHTRPC
import HyperDHT
import SansIO

/// What testers need and applications do not.
extension HyperDHT {
    /// One request with any command, token, target and value.
    public func request(to node: Endpoint, command: UInt64, options: RequestOptions) async throws -> ReceivedResponse {
        let outcome = try await driver.operate { $0.request(to: node, command: command, options: options) }
        guard case .response(let response) = outcome.result else { throw StreamFailure(.requestDestroyed) }
        return response
    }

    /// DELAYED_PING; nil if the delay is longer than a node waits.
    public func delayedPing(_ node: Endpoint, delayMilliseconds: UInt32) async throws -> ReceivedResponse? {
        guard delayMilliseconds <= HyperDHTConfig().rpc.maximumDelayMilliseconds else { return nil }
        let outcome = try await driver.operate {
            $0.delayedPing(node, delayMilliseconds: delayMilliseconds) ?? $0.ping(node)
        }
        guard case .response(let response) = outcome.result else { throw StreamFailure(.requestDestroyed) }
        return response
    }

    /// A query with any command; every reply is given as it came.
    public func query(target: Bytes32, command: UInt64, options: QueryOptions) async throws -> (
        replies: [ReceivedResponse], closestNodes: [Endpoint]
    ) {
        let outcome = try await driver.operate { $0.query(target: target, command: command, options: options) }
        let replies: [ReceivedResponse] = outcome.replies.compactMap { if case .raw(let reply) = $0.content { reply } else { nil } }
        guard case .done(let closest) = outcome.result else { return (replies, []) }
        return (replies, closest)
    }
}
