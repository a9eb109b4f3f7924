// Scenarios of Hyperswarm.
import { hex, sleep } from './stage.mjs'

export const scenarios = {
  async 'swarm-topic' (stage) {
    await stage.start(8)
    const topic = stage.bytes('topic')
    const [a, b] = ['a', 'b'].map((name) => {
      const swarm = stage.swarm(name)
      swarm.on('connection', (stream, info) => {
        stage.event(name, 'connection', { remote: hex(stream.remotePublicKey), client: info.client, topics: info.topics.map(hex) })
        stream.on('error', () => {})
        stream.on('data', (d) => stage.event(name, 'data', { d: d.toString() }))
        stream.write(`hello from ${name}`)
      })
      return swarm
    })
    const session = a.join(topic, { server: true, client: false })
    stage.event('a', 'topic', { topic: hex(topic) })
    await session.flushed()
    stage.event('a', 'flushed')
    b.join(topic, { server: false, client: true })
    await b.flush()
    await sleep(300)
    stage.describe()
    await b.destroy()
    await a.destroy()
  },

  async 'swarm-crossing' (stage) {
    await stage.start(8)
    const topic = stage.bytes('topic')
    stage.event('all', 'topic', { topic: hex(topic) })
    const swarms = ['a', 'b', 'c'].map((name) => {
      const swarm = stage.swarm(name)
      swarm.on('connection', (stream, info) => {
        stage.event(name, 'connection', { remote: hex(stream.remotePublicKey), initiator: stream.isInitiator, client: info.client })
        stream.on('error', (error) => stage.event(name, 'conn-error', { code: error.code, message: error.message }))
        stream.on('data', (d) => stage.event(name, 'data', { d: d.toString() }))
        stream.write(`hi from ${name}`)
      })
      return { name, swarm }
    })
    const sessions = swarms.map(({ swarm }) => swarm.join(topic))
    await Promise.all(sessions.map((session) => session.flushed()))
    // All are announced and nobody has seen the others: looking again at once makes everybody dial everybody.
    await Promise.all(sessions.map((session) => session.refresh({ server: true, client: true })))
    await Promise.all(swarms.map(({ swarm }) => swarm.flush()))
    await sleep(3000)
    for (const { name, swarm } of swarms) stage.event(name, 'connections', { n: swarm.connections.size })
    stage.describe()
    for (const { swarm } of swarms) await swarm.destroy()
  },

  async 'swarm-suspend-resume' (stage) {
    await stage.start(8)
    const topic = stage.bytes('topic')
    let connections = 0
    const [a, b] = ['a', 'b'].map((name) => {
      const swarm = stage.swarm(name)
      swarm.on('connection', (stream) => {
        stage.event(name, 'connection', { n: ++connections })
        stream.on('error', () => {})
        stream.on('close', () => stage.event(name, 'connection-closed'))
        stream.on('data', () => {})
        stream.write(`hi from ${name}`)
      })
      return swarm
    })
    await a.join(topic).flushed()
    b.join(topic)
    await b.flush()
    await sleep(800)
    stage.event('a', 'suspend')
    await a.suspend()
    await sleep(1500)
    stage.event('a', 'resume')
    await a.resume()
    await sleep(15000)
    stage.event('a', 'connections', { n: a.connections.size })
    stage.describe()
    await b.destroy()
    await a.destroy()
  }
}
