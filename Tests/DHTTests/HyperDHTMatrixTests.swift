import DHTChecks
import Testing

@Suite struct HyperDHTMatrixTests {
    @Test func everyCellIsAsNodeHasIt() throws {
        let cells = try HyperDHTNATMatrix.run(seed: 3) + HyperDHTNATMatrix.run(seed: 4, relayed: true)
        print(HyperDHTNATMatrix.table(cells))
        for cell in cells where !cell.isAsExpected { Issue.record("\(cell)") }
    }
}
