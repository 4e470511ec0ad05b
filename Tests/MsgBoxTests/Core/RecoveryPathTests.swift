import MsgBox
import Testing

@Suite("Loss recovery: a path of 10 Mbit/s and 100 ms")
struct RecoveryPathTests {
  @Test("Without random losses the pipe is filled")
  func fillsThePipe() {
    let path = BottleneckPath(seed: 1)
    path.addFlow()
    path.run(until: 5000)
    let before = path.flows[0].complete.count
    path.run(until: 35_000)
    let goodput = Double((path.flows[0].complete.count - before) * 1200) / 30
    #expect(goodput >= 0.9 * 1_250_000)
  }

  @Test("With 1 % of losses it is what the model of Mathis says", arguments: [UInt64(1), 2, 3])
  func losses(seed: UInt64) {
    let path = BottleneckPath(seed: seed)
    path.loss = 10
    path.addFlow()
    path.run(until: 60_000)
    // 1200 / 0.1 s x sqrt(3 / 2) / sqrt(0.01).
    let model = 12_000 * 1.2247 * 10
    let goodput = Double(path.flows[0].complete.count * 1200) / 60
    #expect(goodput >= 0.6 * model)
    #expect(goodput <= 1.5 * model)
    // Nothing was found lost that was not.
    let flow = path.flows[0]
    #expect(Int(flow.recovery.lostCount) <= flow.dropped)
    #expect(Int(flow.recovery.lostCount) + flow.recovery.outstanding >= flow.dropped)
  }

  @Test("Two flows share it, though one comes later")
  func fairness() {
    let path = BottleneckPath(seed: 4)
    path.addFlow()
    path.addFlow(startsAt: 3000)
    path.run(until: 20_000)
    let before = path.flows.map { $0.complete.count }
    path.run(until: 60_000)
    let shares = zip(path.flows, before).map { Double($0.complete.count - $1) }
    let sum = shares.reduce(0, +)
    let jain = sum * sum / (2 * shares.map { $0 * $0 }.reduce(0, +))
    #expect(jain >= 0.9)
    #expect(sum * 1200 / 40 >= 0.9 * 1_250_000)
  }

  @Test("After a blackout everything comes through")
  func blackout() {
    let path = BottleneckPath(seed: 5)
    path.addFlow()
    path.run(until: 3000)
    path.loss = 1000
    path.run(until: 8000)
    let sentInBlackout = path.flows[0].recovery.sentCount
    path.run(until: 13_000)
    // Two probes every two seconds at last.
    #expect(path.flows[0].recovery.sentCount - sentInBlackout <= 6)
    path.loss = 0
    path.run(until: 20_000)
    let flow = path.flows[0]
    #expect((0..<flow.nextMessage - 1000).allSatisfy { flow.complete.contains($0) })
    #expect(flow.recovery.window > NewReno.initialWindow)
  }
}
