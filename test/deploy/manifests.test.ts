/** Holds deploy/ and the Dockerfile: manifests parse, the agent has no rights it does not need, and its configuration is valid. */
import assert from 'node:assert/strict';
import { globSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { parse } from 'yaml';
import { processContext } from '../../src/cli/context.ts';
import { inspectConfig } from '../../src/config.ts';
import { parseEndpoint } from '../../src/core/endpoint.ts';
import { memoryLimitBytes } from '../../src/core/resources.ts';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const WORKLOADS = ['daemonset', 'sidecar'] as const;

interface Container {
  name: string;
  image: string;
  restartPolicy?: string;
  args?: string[];
  env?: { name: string; value?: string; valueFrom?: object }[];
  ports?: { name: string; containerPort: number; hostPort?: number }[];
  startupProbe?: object;
  livenessProbe?: object;
  resources: { requests: Record<string, string>; limits: Record<string, string> };
  securityContext: object;
  volumeMounts?: { name: string; mountPath: string }[];
}

interface PodSpec {
  automountServiceAccountToken: boolean;
  terminationGracePeriodSeconds: number;
  hostNetwork?: boolean;
  hostPID?: boolean;
  securityContext: { runAsNonRoot: boolean; runAsUser: number; seccompProfile: { type: string } };
  initContainers?: Container[];
  containers: Container[];
  volumes: { name: string; hostPath?: { path: string }; emptyDir?: object; configMap?: { name: string } }[];
}

function podOf(name: (typeof WORKLOADS)[number]): PodSpec {
  return parse(readFileSync(join(ROOT, 'deploy/kubernetes', `${name}.yaml`), 'utf8')).spec.template.spec;
}

function agentOf(pod: PodSpec): Container {
  const agent = [...(pod.initContainers ?? []), ...pod.containers].find(({ name }) => name === 'plumbline');
  assert.ok(agent !== undefined);
  return agent;
}

test('every manifest is YAML without faults, of a known kind', () => {
  const files = globSync('deploy/kubernetes/*.yaml', { cwd: ROOT });
  assert.ok(files.length >= 3);
  for (const file of files) {
    const { apiVersion, kind, metadata } = parse(readFileSync(join(ROOT, file), 'utf8'), { strict: true });
    assert.match(`${apiVersion} ${kind}`, /^(apps\/v1 (DaemonSet|Deployment)|v1 ConfigMap)$/, file);
    assert.match(metadata.name, /^[a-z0-9-]+$/, file);
  }
});

for (const name of WORKLOADS) {
  test(`${name}: every container keeps the restricted pod security standard`, () => {
    const pod = podOf(name);
    assert.equal(pod.automountServiceAccountToken, false);
    assert.equal(pod.securityContext.runAsNonRoot, true);
    assert.ok(pod.securityContext.runAsUser > 0);
    assert.deepEqual(pod.securityContext.seccompProfile, { type: 'RuntimeDefault' });
    assert.deepEqual([pod.hostNetwork, pod.hostPID], [undefined, undefined]);
    const restricted = {
      allowPrivilegeEscalation: false,
      readOnlyRootFilesystem: true,
      capabilities: { drop: ['ALL'] },
    };
    for (const container of [...(pod.initContainers ?? []), ...pod.containers]) {
      assert.deepEqual(container.securityContext, restricted, container.name);
    }
  });

  test(`${name}: memory request and limit are equal, and there is room for the agent's own limit`, () => {
    const { resources } = agentOf(podOf(name));
    assert.equal(resources.requests.memory, resources.limits.memory);
    assert.equal(resources.limits.cpu, undefined);
    const bytes = Number.parseInt(resources.limits.memory ?? '', 10) * 2 ** 20;
    assert.ok(memoryLimitBytes('auto', () => String(bytes)) <= bytes * 0.9);
  });

  test(`${name}: probes ask the admin port, and the pod is given longer than the agent takes to drain`, () => {
    const pod = podOf(name);
    const agent = agentOf(pod);
    const live = { path: '/health/live', port: 'admin' };
    assert.partialDeepStrictEqual(agent, { startupProbe: { httpGet: live }, livenessProbe: { httpGet: live } });
    assert.equal(agent.ports?.find((port) => port.name === 'admin')?.containerPort, 8888);
    assert.ok(pod.terminationGracePeriodSeconds > 1 + 20);
  });

  test(`${name}: its configuration is valid with the variables it sets, and what it writes lies in a volume`, async () => {
    const agent = agentOf(podOf(name));
    const configMap = parse(readFileSync(join(ROOT, 'deploy/kubernetes/configmap.yaml'), 'utf8'));
    const env = Object.fromEntries((agent.env ?? []).map((entry) => [entry.name, entry.value ?? '10.1.2.3']));
    const text: string = configMap.data['agent.yaml'];
    const components = await processContext().components();
    const { config, faults } = inspectConfig({ text, file: 'agent.yaml', env, ...components });
    assert.deepEqual(faults, []);
    assert.deepEqual(parseEndpoint(config?.admin.endpoint ?? ''), { host: '10.1.2.3', port: 8888 });
    const six = inspectConfig({ text, file: 'agent.yaml', env: { ...env, POD_IP: 'fd00::7' }, ...components });
    assert.deepEqual(six.faults, []);
    assert.deepEqual(parseEndpoint(six.config?.admin.endpoint ?? ''), { host: 'fd00::7', port: 8888 });
    assert.equal(config?.ingest.http.insecure, name === 'daemonset');
    const written = agent.volumeMounts?.find(({ mountPath }) => mountPath === config?.agent.data_dir);
    assert.ok(written !== undefined, `${config?.agent.data_dir} is no volume, and the root is read-only`);
  });
}

test('the DaemonSet takes OTLP on the node, with its journal on the node', () => {
  const pod = podOf('daemonset');
  assert.equal(agentOf(pod).ports?.find(({ containerPort }) => containerPort === 4318)?.hostPort, 4318);
  assert.equal(pod.volumes.find(({ name }) => name === 'data')?.hostPath?.path, '/var/lib/plumbline');
});

test('the sidecar is a native one: an init container that stays', () => {
  const pod = podOf('sidecar');
  assert.equal(pod.initContainers?.[0]?.restartPolicy, 'Always');
  assert.match(readFileSync(join(ROOT, 'deploy/kubernetes/sidecar.yaml'), 'utf8'), /emptyDir .*dies with the pod/);
});

test("the sidecar's volume holds all that the agent may write: a pod that exceeds it is evicted, and the data dies with it", () => {
  const volume = podOf('sidecar').volumes.find(({ name }) => name === 'plumbline-data');
  const limit = Number(/^(\d+)Gi$/.exec((volume?.emptyDir as { sizeLimit: string } | undefined)?.sizeLimit ?? '')?.[1]);
  const configMap = parse(readFileSync(join(ROOT, 'deploy/kubernetes/configmap.yaml'), 'utf8'));
  const intake = Number(/max_size: (\d+)GiB/.exec(configMap.data['agent.yaml'])?.[1]);
  // Beside derived/: a GiB of dead letters, and half of one for a segment in reserve, quarantine/, cursors and checkpoints.
  assert.ok(intake * 1.25 + 1 + 0.5 <= limit, `${intake} GiB of intake in ${limit} GiB`);
});

test('the image runs dist/ as a numbered user without rights, with the flags of main.ts and a health check', () => {
  const dockerfile = readFileSync(join(ROOT, 'Dockerfile'), 'utf8');
  const stages = dockerfile.split(/^FROM /m).slice(1);
  assert.equal(stages.length, 2);
  for (const stage of stages) assert.match(stage, /^node:24-slim\b/);
  const runtime = stages[1] ?? '';
  assert.match(runtime, /^USER [1-9]\d*:[1-9]\d*$/m);
  assert.match(runtime, /^VOLUME \/var\/lib\/plumbline$/m);
  assert.match(runtime, /^HEALTHCHECK [\s\S]*"node"[\s\S]*\/health\/live/m);
  assert.doesNotMatch(runtime, /COPY (--from=build \/build\/)?src\b/);
  const flags = /^#!.* node (.*)$/m.exec(readFileSync(join(ROOT, 'src/main.ts'), 'utf8'))?.[1]?.split(' ') ?? [];
  const entrypoint: unknown = JSON.parse(/^ENTRYPOINT (.*)$/m.exec(runtime)?.[1] ?? '[]');
  assert.deepEqual(entrypoint, ['node', ...flags, '/opt/plumbline/dist/main.js']);
  // The cache of compiled code is by flags and user: the start that fills it has both, and the image's user comes last.
  assert.ok(runtime.includes(`node ${flags.join(' ')} /opt/plumbline/dist/main.js run`));
  assert.match(runtime.slice(runtime.lastIndexOf('\nUSER ')), /^\nUSER 1000:1000$/m);
  assert.ok(readFileSync(join(ROOT, 'package.json'), 'utf8').includes(`node ${flags.join(' ')} src/main.ts run`));
});

test('everything the Dockerfile copies is let through by .dockerignore', () => {
  const allowed = readFileSync(join(ROOT, '.dockerignore'), 'utf8')
    .split('\n')
    .filter((line) => line.startsWith('!'));
  const copies = readFileSync(join(ROOT, 'Dockerfile'), 'utf8').matchAll(/^COPY (?!--from)(.+) \S+$/gm);
  for (const [, sources] of copies) {
    for (const source of sources?.split(' ') ?? []) {
      const top = source.replace('./', '').split('/')[0];
      assert.ok(allowed.includes(`!${top}`), `${source} is ignored`);
    }
  }
});

test('the lockfile has every optional dependency of every platform, without which `npm ci` refuses a fresh clone', () => {
  const lock: unknown = JSON.parse(readFileSync(join(ROOT, 'package-lock.json'), 'utf8'));
  // npm's own form, version 3.
  const { packages } = lock as { packages: Record<string, { optionalDependencies?: Record<string, string> }> };
  const paths = Object.keys(packages);
  const missing = Object.entries(packages).flatMap(([path, { optionalDependencies = {} }]) =>
    Object.keys(optionalDependencies)
      .filter((name) => !paths.some((other) => other.endsWith(`node_modules/${name}`)))
      .map((name) => `${name} of ${path}`),
  );
  assert.deepEqual(missing, []);
});
