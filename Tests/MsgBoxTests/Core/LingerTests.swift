import MsgBox
import Testing

@Suite("A stream whose connection has ended", .transitions)
struct LingerTests {
  @Test("Without the peer's FIN it is closed 2 s after its own")
  func noFin() throws {
    let simulation = Simulation()
    let server = simulation.addNode("server")
    let listener = server.listen(.tcp)
    _ = try #require(server.wait(for: .listening))
    let stream = try #require(
      RawStream(from: simulation.addNode("host"), to: server.address(of: listener)))
    #expect(stream.shakeHands())
    let ready = try #require(server.log.first(.connectionReady))
    #expect(server.disconnect(ready.handle) == .ok)
    simulation.run(for: .milliseconds(1900))
    #expect(server.log.count(.connectionClosed) == 1 && server.openSockets == 2)
    #expect(stream.frames.last?[1] == 4 && stream.end == .finished)
    simulation.run(for: .milliseconds(200))
    #expect(server.openSockets == 1)
    stream.close()
    finishAll(simulation)
  }

  @Test("One whose peer ends before it has taken everything is closed at once")
  func peerEnds() throws {
    let pair = try Pair(.tcp)
    pair.server.pause()
    #expect(pair.client.send([UInt8](repeating: 1, count: 200_000), to: pair.up) == .ok)
    pair.run(for: .milliseconds(100))
    #expect(pair.client.abort(pair.up) == .ok)
    pair.run(for: .seconds(1))
    #expect(pair.client.log.count(.connectionClosed) == 1 && pair.client.openSockets == 1)
    pair.server.kill()
    pair.run(for: .milliseconds(100))
    #expect(pair.client.openSockets == 0)
    finishAll(pair.simulation)
  }

  @Test("One that its peer takes nothing from is reset after 10 s")
  func nothingTaken() throws {
    var options = quickOptions()
    options.closeTimeout = .seconds(1)
    let pair = try Pair(.tcp, serverOptions: options, clientOptions: options)
    pair.simulation.changeAll { $0.isUp = false }
    #expect(pair.client.send([UInt8](repeating: 1, count: 200_000), to: pair.up) == .ok)
    #expect(pair.client.disconnect(pair.up) == .ok)
    pair.run(for: .milliseconds(10_900))
    #expect(pair.client.log.count(.connectionClosed) == 1 && pair.client.openSockets == 1)
    pair.run(for: .milliseconds(200))
    #expect(pair.client.openSockets == 0)
    let isReset = pair.client.actions.contains { if case .reset = $0 { true } else { false } }
    #expect(isReset)
    pair.simulation.changeAll { $0.isUp = true }
    pair.finish()
  }
}
