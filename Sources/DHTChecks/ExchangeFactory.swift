/// Who stands in for the node of a case.
enum ExchangeFactory {
    /// nil: no machine of this build can play this case.
    static func node(for exchange: ExchangeCase) throws -> (any ExchangeNode)? {
        if exchange.needsHyperDHT || exchange.id.hasPrefix("hdht-") { return try HyperDHTExchangeNode(exchange.node) }
        return try DHTRPCExchangeNode(exchange.node)
    }
}
