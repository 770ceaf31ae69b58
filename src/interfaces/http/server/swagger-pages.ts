import { Router, type RequestHandler } from 'express';

/** Swagger UI of an OpenAPI document. Loaded at the first request: it is a fifth of what every command of the CLI would have to load. */
export function swaggerPages(documentation: object): RequestHandler {
  let pages: Promise<RequestHandler> | undefined;
  const load = async () => {
    const { default: ui } = await import('swagger-ui-express');
    return Router().use(ui.serve, ui.setup(documentation, { customSiteTitle: 'Orderfold' }));
  };
  return (request, response, next) => {
    pages ??= load();
    pages.then((page) => { void page(request, response, next); }, next);
  };
}
